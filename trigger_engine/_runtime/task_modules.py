"""Importing task modules: the configured ones, and the app's own modules when work for their tasks is waiting."""

from __future__ import annotations

import importlib.util
import logging

from trigger_engine._client.internals import AppInternals
from trigger_engine._declare.modules import import_module
from trigger_engine.errors import ConfigError

logger = logging.getLogger(__name__)


class TaskModules:
    """Imports task modules for a runner.

    Task ids in the store can only cause imports of configured modules and of modules in the app's own package.
    """

    def __init__(self, internals: AppInternals) -> None:
        self._internals = internals
        self._tried: set[str] = set()

    def import_configured(self) -> None:
        """Imports the modules of `trigger_task_modules`, and the app's own modules of watched tasks.

        Raises ConfigError if a module cannot be found, UnknownTask if nothing declares a watched task, DeclarationError
        if a condition names call arguments that the watched task does not take.
        """
        for name in self._internals.settings.trigger_task_modules:
            self._import_listed(name)
        self.import_for(frozenset(self._internals.registry.unresolved()))
        self._internals.registry.check_references()

    def import_for(self, task_ids: frozenset[str]) -> bool:
        """Imports the modules of these tasks where allowed; returns whether any of the tasks is now declared."""
        for task_id in task_ids:
            for module in _module_names(task_id):
                if module not in self._tried and self._is_own(module):
                    self._tried.add(module)
                    self._import_own(module)
        return any(task_id in self._internals.registry.tasks for task_id in task_ids)

    def _is_own(self, module: str) -> bool:
        package = self._internals.home_module.partition(".")[0]
        inside_package = package not in ("", "__main__") and module.startswith(f"{package}.")
        return inside_package or module in self._internals.settings.trigger_task_modules

    def _import_listed(self, name: str) -> None:
        try:
            import_module(name)
        except ModuleNotFoundError as exc:
            if exc.name is None or not (name == exc.name or name.startswith(f"{exc.name}.")):
                raise
            raise ConfigError(
                f"trigger_task_modules names {name!r}, which cannot be found: check the spelling, and that its folder "
                "is on the import path (the current folder, or an installed package)"
            ) from exc

    def _import_own(self, module: str) -> None:
        try:
            if importlib.util.find_spec(module) is not None:
                import_module(module)
                logger.info("imported %s: work is waiting for one of its tasks", module)
        except Exception:
            # The module name came from the store: an import error must not stop the runner.
            logger.exception("cannot import %s, although work is waiting for its tasks", module)


def _module_names(task_id: str) -> list[str]:
    """Every module that may declare a task id, longest name first: `a.b.C.f` may be in `a.b.C`, `a.b` or `a`."""
    parts = task_id.split(".")
    return [".".join(parts[:end]) for end in range(len(parts) - 1, 0, -1)]
