"""`TriggerEngineBuilder`: the configuration of an app written as a chain of calls."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from trigger_engine.app import TriggerEngine

_COMPONENTS = {
    "orchestrator_cls": "Orchestrator",
    "broker_cls": "Broker",
    "state_backend_cls": "StateBackend",
    "client_data_store_cls": "ClientDataStore",
    "trigger_cls": "Trigger",
}


class TriggerEngineBuilder:
    """Builds a `TriggerEngine` whose configuration overrides file and environment; each call returns a new builder.

    Nothing is checked before `build`. A backend chosen later replaces one chosen earlier.
    """

    __slots__ = ("_keywords",)

    def __init__(self) -> None:
        self._keywords: Mapping[str, Any] = {}

    def memory(self) -> TriggerEngineBuilder:
        """Keeps everything in this process; lost when it ends. For development and tests."""
        return self._with_family("Mem")

    def trigger_memory(self) -> TriggerEngineBuilder:
        """Sets `trigger_cls` alone to the memory backend; `memory()` also overrides the file's other `…_cls` keys."""
        return self._with(trigger_cls="MemTrigger")

    def sqlite(self, path: str | os.PathLike[str] | None = None) -> TriggerEngineBuilder:
        """Keeps everything in one SQLite file; a relative path starts from the current folder of `build`."""
        return self._with_family("SQLite", "sqlite", sqlite_db_path=None if path is None else os.fspath(path))

    def redis(self, *, url: str | None = None, **options: Any) -> TriggerEngineBuilder:
        """Keeps everything in Redis; options are further keys of the section `redis`."""
        return self._with_family("Redis", "redis", url=url, **options)

    def mongodb(self, *, url: str | None = None, **options: Any) -> TriggerEngineBuilder:
        """Keeps everything in MongoDB; options are further keys of the section `mongodb`."""
        return self._with_family("Mongo", "mongodb", url=url, **options)

    def rabbitmq(self, *, url: str | None = None, **options: Any) -> TriggerEngineBuilder:
        """Keeps everything in RabbitMQ; options are further keys of the section `rabbitmq`."""
        return self._with_family("RabbitMQ", "rabbitmq", url=url, **options)

    def thread_runner(self) -> TriggerEngineBuilder:
        """Runs `def` tasks in threads."""
        return self._with(runner_cls="ThreadRunner")

    def process_runner(self) -> TriggerEngineBuilder:
        """Runs `def` tasks in spawned child processes; needs a backend that processes share."""
        return self._with(runner_cls="ProcessRunner")

    def trigger_task_modules(self, modules: Iterable[str]) -> TriggerEngineBuilder:
        """Names the modules that declare tasks with triggers; replaces those named before."""
        return self._with(trigger_task_modules=modules if isinstance(modules, str) else tuple(modules))

    def app_id(self, app_id: str) -> TriggerEngineBuilder:
        """Names the app."""
        return self._with(app_id=app_id)

    def build(self, **keywords: Any) -> TriggerEngine:
        """The app. `keywords` are any others of TriggerEngine, such as `lifespan`; they override the builder's.

        Raises ConfigError, and BackendNotInstalled when the backend's distribution is missing.
        """
        from trigger_engine.app import TriggerEngine

        app = TriggerEngine(**{**self._keywords, **keywords})
        # The app belongs to the module that calls build(), which is where its tasks are declared.
        app.home_module = sys._getframe(1).f_globals.get("__name__", "__main__")
        return app

    def _with(self, **keywords: Any) -> TriggerEngineBuilder:
        built = TriggerEngineBuilder()
        built._keywords = {**self._keywords, **keywords}
        return built

    def _with_family(self, family: str, section: str | None = None, **options: Any) -> TriggerEngineBuilder:
        components = {key: family + component for key, component in _COMPONENTS.items()}
        given = {key: value for key, value in options.items() if value is not None}
        return self._with(**components, **({section: given} if section and given else {}))
