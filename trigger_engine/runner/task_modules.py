"""Importing the modules that declare tasks: those that are configured, and the app's own when work waits for them."""

from __future__ import annotations

import importlib.util
import logging

from trigger_engine.app import TriggerEngine
from trigger_engine.errors import ConfigError
from trigger_engine.modules import import_module

logger = logging.getLogger(__name__)


class TaskModules:
    """Imports task modules for a runner. What a store says is only ever matched against these."""

    def __init__(self, app: TriggerEngine) -> None:
        self._app = app
        self._tried: set[str] = set()

    def import_configured(self) -> None:
        """Imports every module of `trigger_task_modules`, and those that hold watched tasks of the app's own package.

        Raises ConfigError for a module that cannot be found, UnknownTask for a watched task that nothing declares,
        DeclarationError for call arguments that a task watched by its id does not take.
        """
        for name in self._app.settings.trigger_task_modules:
            self._import_listed(name)
        self.learn(frozenset(self._app.registry.unresolved()))
        self._app.registry.check_references()

    def learn(self, task_ids: frozenset[str]) -> bool:
        """Imports the modules of these tasks where allowed; returns whether any of them is known now."""
        for task_id in task_ids:
            for module in _module_names(task_id):
                if module not in self._tried and self._is_own(module):
                    self._tried.add(module)
                    self._import_own(module)
        return any(task_id in self._app.registry.tasks for task_id in task_ids)

    def _is_own(self, module: str) -> bool:
        package = self._app.home_module.partition(".")[0]
        inside_package = package not in ("", "__main__") and module.startswith(f"{package}.")
        return inside_package or module in self._app.settings.trigger_task_modules

    def _import_listed(self, name: str) -> None:
        try:
            import_module(name)
        except ModuleNotFoundError as exc:
            if exc.name is None or not (name == exc.name or name.startswith(f"{exc.name}.")):
                raise
            raise ConfigError(
                f"trigger_task_modules names {name!r}, which cannot be found: check the spelling, and that its folder "
                "is on the import path (the folder you start from, or an installed package)"
            ) from exc

    def _import_own(self, module: str) -> None:
        try:
            if importlib.util.find_spec(module) is not None:
                import_module(module)
                logger.info("imported %s: work waits for a task of it", module)
        except Exception:
            # The store named it: a module that does not import must not take the runner down.
            logger.exception("cannot import %s, whose tasks have work waiting", module)


def _module_names(task_id: str) -> list[str]:
    """Every module that a task id may lie in: `a.b.f` lies in `a.b`, `a.b.C.f` in `a.b` too."""
    parts = task_id.split(".")
    return [".".join(parts[:end]) for end in range(len(parts) - 1, 0, -1)]
