"""The state that the parts of an app share: configuration, declarations, connections."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any

import msgspec

from trigger_engine._client.connections import Connections
from trigger_engine._client.current import CurrentInvocation, running
from trigger_engine._client.events import EventLike, event_entries
from trigger_engine._client.task_calls import CallOptions, called_entry, rerun_entry
from trigger_engine._config.loading import Config
from trigger_engine._config.settings import Settings
from trigger_engine._declare.registry import Registry
from trigger_engine._declare.task_definition import TaskDefinition
from trigger_engine._declare.values import Codec
from trigger_engine.backend._contract import Clock, Invocation


class AppInternals:
    """An app's internal state. Tasks, invocations, runners and the history get this object instead of the app.

    `lifespan`: returns the async context manager that a runner enters before its first claim, or None.
    `home_module`: the module that creates the app; runners may import task modules from its package.
    """

    def __init__(self, config: Config, *, codec: Codec, home_module: str, clock: Clock) -> None:
        self.config: Config = config
        self.settings: Settings = config.settings
        self.app_id: str = config.settings.app_id
        self.codec = codec
        self.home_module = home_module
        self.lifespan: LifespanFactory | None = None
        self.registry: Registry = Registry()
        backend = config.backend_type(config.backend_settings, app_id=self.app_id)
        self.connections: Connections = Connections(backend, clock)

    def __repr__(self) -> str:
        """The app as log lines show it."""
        file = self.config.config_file or "no configuration file"
        return f"<TriggerEngine {self.app_id!r}, {self.connections.backend.location()}, {file}>"

    def override(self, **settings: Any) -> None:
        """Replaces settings by keyword, whatever source they came from."""
        self.settings = msgspec.structs.replace(self.settings, **settings)
        self.config = msgspec.structs.replace(self.config, settings=self.settings)

    async def emit(self, events: Sequence[EventLike]) -> list[str]:
        """Appends events in one atomic write, and returns their ids in order.

        Raises SerializationError, PayloadTooLarge, BackendUnavailable.
        """
        entries = event_entries(
            events,
            app_id=self.app_id,
            now=self.connections.clock(),
            max_bytes=self.settings.max_payload_bytes,
            emitter=self.caller(),
        )
        if entries:
            session = await self.connections.session()
            await session.append(tuple(entries))
        return [entry.id for entry in entries]

    async def enqueue(self, task: TaskDefinition, arguments: msgspec.Raw, options: CallOptions) -> str:
        """Appends the registration of one call with encoded arguments, and returns the invocation's id.

        Raises PayloadTooLarge, BackendUnavailable.
        """
        entry = called_entry(
            task,
            arguments,
            options,
            app_id=self.app_id,
            now=self.connections.clock(),
            max_bytes=self.settings.max_payload_bytes,
            caller=self.caller(),
        )
        session = await self.connections.session()
        await session.append((entry,))
        return entry.invocation_id

    async def rerun(self, stored: Invocation) -> str:
        """Appends a new invocation of the same task with the same arguments, and returns its id."""
        entry = rerun_entry(stored.registration, now=self.connections.clock())
        session = await self.connections.session()
        await session.append((entry,))
        return entry.invocation_id

    def decode_result(self, task_id: str, raw: msgspec.Raw) -> Any:
        """A task's decoded result: by its return annotation if the task is declared here, else as builtin types."""
        task = self.registry.tasks.get(task_id)
        if task is None:
            return self.codec.decode(raw, Any, what=f"result of {task_id}")
        return task.signature.decode_result(raw)

    def caller(self) -> CurrentInvocation | None:
        """The invocation of this app that the running code belongs to, if any."""
        current = running.get()
        return current if current is not None and current.app_id == self.app_id else None


LifespanFactory = Callable[[], AbstractAsyncContextManager[Any]]
