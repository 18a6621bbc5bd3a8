"""The engine as its users meet it: declare tasks, emit events, run."""

from __future__ import annotations

import inspect
import sys
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import timedelta
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, ParamSpec, Self, TypeVar, overload

import msgspec

from trigger_engine.config import load_config
from trigger_engine.current import CurrentInvocation, running
from trigger_engine.enqueueing import called_entry, rerun_entry
from trigger_engine.errors import DeclarationError, InvocationNotFound
from trigger_engine.event import Event, EventLike, event_entries
from trigger_engine.invocation import Invocation
from trigger_engine.log.contract import Invocation as StoredInvocation
from trigger_engine.modules import alias_main, module_name_of
from trigger_engine.registry import Registry
from trigger_engine.result_follower import not_found
from trigger_engine.session import Connections
from trigger_engine.signature import TaskSignature
from trigger_engine.suggestions import did_you_mean
from trigger_engine.sync import SyncFacade
from trigger_engine.task import TASK_OPTIONS, AsyncTask, CallOptions, SyncTask, Task, TaskDecorator, make_settings
from trigger_engine.trigger_builder import TriggerBuilder
from trigger_engine.values import Codec

if TYPE_CHECKING:
    from trigger_engine.entries.facts import EventEmitted
    from trigger_engine.history import History
    from trigger_engine.runner import Runner

P = ParamSpec("P")
R = TypeVar("R")
Lifespan = Callable[["TriggerEngine"], AbstractAsyncContextManager[Any]]
TriggersArgument = TriggerBuilder | Sequence[TriggerBuilder] | None


class TriggerEngine:
    """An app: its configuration, its declared tasks, and its place in a backend.

    Creating one reads the configuration and opens nothing. `lifespan`: called with the app by every runner before its
    first claim, gives an async context manager. `enc_hook` and `dec_hook`: as msgspec's, for types of your own.
    Other keywords are configuration keys (docs/configuration.md); they override file and environment.
    Raises ConfigError.
    """

    def __init__(
        self,
        *,
        app_id: str | None = None,
        trigger_cls: str | None = None,
        lifespan: Lifespan | None = None,
        enc_hook: Callable[[Any], Any] | None = None,
        dec_hook: Callable[[type, Any], Any] | None = None,
        **settings: Any,
    ) -> None:
        named = {"app_id": app_id, "trigger_cls": trigger_cls}
        self.config = load_config(**{k: v for k, v in named.items() if v is not None}, **settings)
        self.settings = self.config.settings
        self.app_id = self.config.settings.app_id
        self.lifespan = lifespan
        self.codec = Codec(enc_hook=enc_hook, dec_hook=dec_hook)
        self.registry = Registry()
        caller = sys._getframe(1).f_globals.get("__name__", "__main__")
        self.home_module: str = alias_main() if caller == "__main__" else caller
        self.sync = SyncFacade(self)
        self.trigger = TriggerNamespace(self)
        backend = self.config.backend_type(self.config.backend_settings, app_id=self.app_id)
        self._connections = Connections(backend, time.time)

    def __repr__(self) -> str:
        file = self.config.config_file or "no configuration file"
        return f"<TriggerEngine {self.app_id!r}, {self._connections.backend.location()}, {file}>"

    @overload
    def task(self, func: Callable[P, Coroutine[Any, Any, R]], /) -> AsyncTask[P, R]: ...  # type: ignore[overload-overlap]
    @overload
    def task(self, func: Callable[P, R], /) -> SyncTask[P, R]: ...
    @overload
    def task(
        self,
        *,
        triggers: TriggersArgument = None,
        task_id: str | None = None,
        max_retries: int = 0,
        retry_for: type[BaseException] | tuple[type[BaseException], ...] = Exception,
        timeout: timedelta | float | None = None,
        queue: str = "default",
        run_in: Literal["thread", "process"] | None = None,
    ) -> TaskDecorator: ...
    def task(self, func: Callable[..., Any] | None = None, /, **options: Any) -> Any:  # type: ignore[misc]
        """Declares a task.

        `triggers`: one TriggerBuilder or several independent ones. `task_id`: instead of `module.qualname`.
        `max_retries`, `retry_for`: further attempts after these exceptions. `timeout`: seconds per attempt.
        `queue`: where invocations wait. `run_in`: for `def` tasks, instead of the runner's choice.
        Raises DeclarationError.
        """
        for option in options.keys() - TASK_OPTIONS:
            hint = did_you_mean(option, TASK_OPTIONS)
            raise TypeError(f"task() got an unexpected keyword argument {option!r}{hint}")

        def declare(function: Callable[..., Any]) -> Any:
            return self._declare(function, **options)

        return declare if func is None else declare(func)

    def _declare(
        self,
        function: Callable[..., Any],
        *,
        triggers: TriggersArgument = None,
        task_id: str | None = None,
        max_retries: int = 0,
        retry_for: type[BaseException] | tuple[type[BaseException], ...] = Exception,
        timeout: timedelta | float | None = None,
        queue: str = "default",
        run_in: Literal["thread", "process"] | None = None,
    ) -> Task[Any, Any]:
        if not inspect.isfunction(function):
            raise DeclarationError(f"@app.task on {function!r}: declare a function written with def or async def")
        name = f"{module_name_of(function)}.{function.__qualname__}" if task_id is None else task_id
        is_async = inspect.iscoroutinefunction(function)
        settings = make_settings(
            name,
            is_async=is_async,
            max_retries=max_retries,
            retry_for=retry_for,
            timeout=timeout,
            queue=queue,
            run_in=run_in,
        )
        signature = TaskSignature.from_function(function, task_id=name, codec=self.codec)
        kind: type[Task[Any, Any]] = AsyncTask if is_async else SyncTask
        task = kind(self, name, function, signature, settings)
        self.registry.add(task, _builders(triggers, name), self.codec)
        return task

    async def emit_event(
        self, event_code: str, payload: Mapping[str, Any] | None = None, *, idempotency_key: str | None = None
    ) -> str:
        """Appends one event, durable when this returns, and returns its id.

        With `idempotency_key` the first event of that code and key counts; later ones add nothing and return its id.
        Raises SerializationError, PayloadTooLarge, BackendUnavailable.
        """
        (entry,) = self._event_entries([Event(event_code, payload, idempotency_key)])
        session = await self._connections.session()
        await session.append((entry,))
        return entry.id

    async def emit_events(self, events: Sequence[EventLike]) -> list[str]:
        """Appends events in one atomic write, and returns their ids in order; raises what `emit_event` raises."""
        entries = self._event_entries(events)
        if entries:
            session = await self._connections.session()
            await session.append(tuple(entries))
        return [entry.id for entry in entries]

    async def invocation(self, invocation_id: str) -> Invocation[Any]:
        """A handle on an invocation by its id. Raises InvocationNotFound, BackendUnavailable."""
        session = await self._connections.session()
        stored = await session.log.invocation(invocation_id)
        if stored is None:
            raise InvocationNotFound(not_found(invocation_id))
        return Invocation(self, invocation_id, stored.registration.task_id)

    async def run(self) -> None:
        """Runs a runner until it is cancelled or the process gets SIGTERM or SIGINT; then it stops gracefully.

        Raises UnknownTask, DeclarationError, ConfigError, and what made the runner fail.
        """
        from trigger_engine.runner import run_until_stopped

        await run_until_stopped(self.runner())

    def runner(self) -> Runner:
        """A runner as an async context manager, for a web app's lifespan or a test; installs no signal handlers."""
        from trigger_engine.runner import Runner

        return Runner(self)

    def history(self) -> History:
        """The read model as an async context manager: events, trigger runs, invocations, triggers, runners."""
        from trigger_engine.history import open_history

        return open_history(self)

    async def __aenter__(self) -> Self:
        self._connections.enter(self)
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        await self._connections.leave(self)

    def _event_entries(self, events: Sequence[EventLike]) -> list[EventEmitted]:
        return event_entries(
            events,
            app_id=self.app_id,
            now=self._connections.clock(),
            max_bytes=self.settings.max_payload_bytes,
            emitter=self._emitter(),
        )

    def _emitter(self) -> CurrentInvocation | None:
        current = running.get()
        return current if current is not None and current.app_id == self.app_id else None

    async def _enqueue(
        self, task: Task[Any, Any], arguments: Mapping[str, Any], options: CallOptions
    ) -> Invocation[Any]:
        return await self._enqueue_encoded(task, task.signature.encode_arguments(arguments), options)

    async def _enqueue_encoded(
        self, task: Task[Any, Any], arguments: msgspec.Raw, options: CallOptions
    ) -> Invocation[Any]:
        entry = called_entry(
            task,
            arguments,
            options,
            now=self._connections.clock(),
            max_bytes=self.settings.max_payload_bytes,
            caller=self._emitter(),
        )
        session = await self._connections.session()
        await session.append_entry(entry)
        return Invocation(self, entry.invocation_id, task.task_id)

    async def _rerun(self, stored: StoredInvocation) -> Invocation[Any]:
        entry = rerun_entry(stored.registration, now=self._connections.clock())
        session = await self._connections.session()
        await session.append_entry(entry)
        return Invocation(self, entry.invocation_id, entry.task_id)

    def _decode_result(self, task_id: str, raw: msgspec.Raw) -> Any:
        task = self.registry.tasks.get(task_id)
        return (
            self.codec.decode(raw, Any, what=f"result of {task_id}")
            if task is None
            else task.signature.decode_result(raw)
        )


class TriggerNamespace:
    """`app.trigger`: the events side of an app, under the name that trigger systems use."""

    def __init__(self, app: TriggerEngine) -> None:
        self.emit_event = app.emit_event
        self.emit_events = app.emit_events


def _builders(triggers: TriggersArgument, task_id: str) -> Sequence[TriggerBuilder]:
    if triggers is None:
        return ()
    if isinstance(triggers, TriggerBuilder):
        return (triggers,)
    given: object = triggers
    if isinstance(given, Sequence) and all(isinstance(one, TriggerBuilder) for one in given):
        return tuple(given)
    raise DeclarationError(f"task {task_id}: triggers is {triggers!r}: give one TriggerBuilder or a list of them")
