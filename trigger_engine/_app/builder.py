"""`TriggerEngineBuilder`: configures an app by chained calls."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping
from typing import Any

from trigger_engine._app.app import TriggerEngine

_COMPONENTS = {
    "orchestrator_cls": "Orchestrator",
    "broker_cls": "Broker",
    "state_backend_cls": "StateBackend",
    "client_data_store_cls": "ClientDataStore",
    "trigger_cls": "Trigger",
}


class TriggerEngineBuilder:
    """Builds a `TriggerEngine`. Its settings override the configuration file and the environment.

    Each method returns a new builder. Nothing is checked before `build`. A later backend replaces an earlier one.
    """

    __slots__ = ("_keywords",)

    def __init__(self) -> None:
        self._keywords: Mapping[str, Any] = {}

    def memory(self) -> TriggerEngineBuilder:
        """Stores everything in memory, and loses it when the process ends. For development and tests."""
        return self._with_family("Mem")

    def trigger_memory(self) -> TriggerEngineBuilder:
        """Sets only `trigger_cls` to the memory backend, while `memory()` also sets the other `…_cls` keys."""
        return self._with(trigger_cls="MemTrigger")

    def sqlite(self, path: str | os.PathLike[str] | None = None) -> TriggerEngineBuilder:
        """Stores everything in one SQLite file. A relative path is resolved against the current folder at `build`."""
        return self._with_family("SQLite", "sqlite", sqlite_db_path=None if path is None else os.fspath(path))

    def redis(self, *, url: str | None = None, **options: Any) -> TriggerEngineBuilder:
        """Stores everything in Redis. `options`: other keys of the `redis` section."""
        return self._with_family("Redis", "redis", url=url, **options)

    def mongodb(self, *, url: str | None = None, **options: Any) -> TriggerEngineBuilder:
        """Stores everything in MongoDB. `options`: other keys of the `mongodb` section."""
        return self._with_family("Mongo", "mongodb", url=url, **options)

    def rabbitmq(self, *, url: str | None = None, **options: Any) -> TriggerEngineBuilder:
        """Stores everything in RabbitMQ. `options`: other keys of the `rabbitmq` section."""
        return self._with_family("RabbitMQ", "rabbitmq", url=url, **options)

    def thread_runner(self) -> TriggerEngineBuilder:
        """Runs `def` tasks in threads."""
        return self._with(runner_cls="ThreadRunner")

    def process_runner(self) -> TriggerEngineBuilder:
        """Runs `def` tasks in spawned child processes. Needs a backend that processes can share."""
        return self._with(runner_cls="ProcessRunner")

    def trigger_task_modules(self, modules: Iterable[str]) -> TriggerEngineBuilder:
        """Sets the modules that declare tasks with triggers, replacing any set before."""
        return self._with(trigger_task_modules=modules if isinstance(modules, str) else tuple(modules))

    def app_id(self, app_id: str) -> TriggerEngineBuilder:
        """Sets the app id."""
        return self._with(app_id=app_id)

    def build(self, **keywords: Any) -> TriggerEngine:
        """Creates the app. `keywords`: other arguments of TriggerEngine, such as `lifespan`; they override the builder.

        Raises ConfigError, and BackendNotInstalled if the backend's distribution is missing.
        """
        app = TriggerEngine(**{**self._keywords, **keywords})
        # The app's home is the module that calls build(), where its tasks are declared.
        app._internals.home_module = sys._getframe(1).f_globals.get("__name__", "__main__")
        return app

    def _with(self, **keywords: Any) -> TriggerEngineBuilder:
        built = TriggerEngineBuilder()
        built._keywords = {**self._keywords, **keywords}
        return built

    def _with_family(self, family: str, section: str | None = None, **options: Any) -> TriggerEngineBuilder:
        components = {key: family + component for key, component in _COMPONENTS.items()}
        given = {key: value for key, value in options.items() if value is not None}
        return self._with(**components, **({section: given} if section and given else {}))
