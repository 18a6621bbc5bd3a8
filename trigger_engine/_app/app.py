"""`TriggerEngine`: declares tasks, emits events, runs."""

from __future__ import annotations

import inspect
import sys
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import timedelta
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, ParamSpec, Self, TypeVar, overload

from trigger_engine._client.events import Event, EventLike
from trigger_engine._client.internals import AppInternals
from trigger_engine._client.invocation import Invocation, find_invocation
from trigger_engine._client.sync import SyncFacade
from trigger_engine._client.task import AsyncTask, SyncTask, Task, TaskDecorator
from trigger_engine._config.loading import load_config
from trigger_engine._declare.builder import TriggerBuilder
from trigger_engine._declare.modules import alias_main, module_name_of
from trigger_engine._declare.signature import TaskSignature
from trigger_engine._declare.task_definition import TASK_OPTIONS, TaskDefinition, make_settings
from trigger_engine._declare.values import Codec
from trigger_engine._suggestions import did_you_mean
from trigger_engine.errors import DeclarationError

if TYPE_CHECKING:
    from trigger_engine._readmodel.history import History
    from trigger_engine._runtime.runner import Runner

P = ParamSpec("P")
R = TypeVar("R")
Lifespan = Callable[["TriggerEngine"], AbstractAsyncContextManager[Any]]
TriggersArgument = TriggerBuilder | Sequence[TriggerBuilder] | None


class TriggerEngine:
    """An app: its configuration, its declared tasks, and its data in a backend.

    Creating an app reads the configuration and opens no connection. The first call on an event loop opens one, and
    leaving `async with app` closes it.

    `lifespan`: a function that takes the app and returns an async context manager; every runner enters it before its
    first claim. `enc_hook` and `dec_hook`: msgspec's hooks to encode and decode your own types. Other keywords are
    configuration keys (docs/configuration.md) and override the file and the environment. Raises ConfigError.

    Attributes: `app_id`; `sync`, the blocking methods for `def` code; `trigger`, another name for the emit methods.
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
        caller = sys._getframe(1).f_globals.get("__name__", "__main__")
        self._internals = AppInternals(
            load_config(**{k: v for k, v in named.items() if v is not None}, **settings),
            codec=Codec(enc_hook=enc_hook, dec_hook=dec_hook),
            home_module=alias_main() if caller == "__main__" else caller,
            clock=time.time,
        )
        self.lifespan = lifespan
        self.sync: SyncFacade = SyncFacade(self._internals)
        self.trigger: TriggerNamespace = TriggerNamespace(self._internals)

    def __repr__(self) -> str:
        return repr(self._internals)

    @property
    def lifespan(self) -> Lifespan | None:
        """Called with the app by each runner before its first claim; returns an async context manager."""
        return self._lifespan

    @lifespan.setter
    def lifespan(self, lifespan: Lifespan | None) -> None:
        self._lifespan = lifespan
        self._internals.lifespan = None if lifespan is None else partial(lifespan, self)

    @property
    def app_id(self) -> str:
        """The name under which the backend stores the app's data."""
        return self._internals.app_id

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
        """Declares a task; use it as `@app.task` or `@app.task(...)`.

        `triggers`: one TriggerBuilder, or a list of independent ones. `task_id`: default `module.qualname`.
        `max_retries`: attempts after the first one. `retry_for`: the exceptions to retry. `timeout`: seconds or a
        timedelta for each attempt. `queue`: the queue that invocations wait in. `run_in`: overrides `runner_cls` for
        this `def` task. Raises DeclarationError, and TypeError for an unknown option.
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
        internals = self._internals
        signature = TaskSignature.from_function(function, task_id=name, codec=internals.codec)
        definition = TaskDefinition(name, function, signature, settings, is_async)
        internals.registry.add(definition, _builders(triggers, name), internals.codec)
        return AsyncTask(internals, definition) if is_async else SyncTask(internals, definition)

    async def emit_event(
        self, event_code: str, payload: Mapping[str, Any] | None = None, *, idempotency_key: str | None = None
    ) -> str:
        """Appends one event and returns its id. The event is durable when this returns.

        `payload`: a mapping of msgpack builtins and aware datetimes; None means `{}`. `idempotency_key`: a later event
        with the same code and key is not stored, and the first one's id is returned.
        Raises SerializationError, PayloadTooLarge, BackendUnavailable.
        """
        return (await self._internals.emit([Event(event_code, payload, idempotency_key)]))[0]

    async def emit_events(self, events: Sequence[EventLike]) -> list[str]:
        """Appends events in one atomic write and returns their ids in order.

        `events`: `Event`s, or tuples of the same fields. Raises what `emit_event` raises; then no event is stored.
        """
        return await self._internals.emit(events)

    async def invocation(self, invocation_id: str) -> Invocation[Any]:
        """A handle on the invocation with this id. Raises InvocationNotFound, BackendUnavailable."""
        return await find_invocation(self._internals, invocation_id)

    async def run(self) -> None:
        """Runs a runner until this is cancelled or the process gets SIGTERM or SIGINT, then stops it gracefully.

        Raises ConfigError, UnknownTask, DeclarationError, and the error that stopped the runner, if any.
        """
        from trigger_engine._runtime.signals import run_until_stopped

        await run_until_stopped(self.runner())

    def runner(self) -> Runner:
        """A runner as an async context manager, for a web app's lifespan or a test. Installs no signal handlers."""
        from trigger_engine._runtime.runner import Runner

        return Runner(self._internals)

    def history(self) -> History:
        """The read model as an async context manager: events, trigger runs, invocations, triggers, runners."""
        from trigger_engine._readmodel.opening import open_history

        return open_history(self._internals)

    async def __aenter__(self) -> Self:
        self._internals.connections.enter(self)
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        await self._internals.connections.leave(self)


class TriggerNamespace:
    """`app.trigger`: the emit methods of the app under another name."""

    def __init__(self, internals: AppInternals) -> None:
        self._internals = internals

    async def emit_event(
        self, event_code: str, payload: Mapping[str, Any] | None = None, *, idempotency_key: str | None = None
    ) -> str:
        """Same as `TriggerEngine.emit_event`."""
        return (await self._internals.emit([Event(event_code, payload, idempotency_key)]))[0]

    async def emit_events(self, events: Sequence[EventLike]) -> list[str]:
        """Same as `TriggerEngine.emit_events`."""
        return await self._internals.emit(events)


def _builders(triggers: TriggersArgument, task_id: str) -> Sequence[TriggerBuilder]:
    if triggers is None:
        return ()
    if isinstance(triggers, TriggerBuilder):
        return (triggers,)
    given: object = triggers
    if isinstance(given, Sequence) and all(isinstance(one, TriggerBuilder) for one in given):
        return tuple(given)
    raise DeclarationError(f"task {task_id}: triggers is {triggers!r}: give one TriggerBuilder or a list of them")
