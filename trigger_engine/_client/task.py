"""Tasks: functions that triggers start and that callers can enqueue."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from dataclasses import replace
from datetime import timedelta
from typing import Any, Generic, ParamSpec, Protocol, TypeVar, overload

from trigger_engine._client.internals import AppInternals
from trigger_engine._client.invocation import Invocation
from trigger_engine._client.task_calls import CallOptions, make_call_options
from trigger_engine._declare.registry import Registry
from trigger_engine._declare.signature import TaskSignature
from trigger_engine._declare.task_definition import TaskDefinition, TaskSettings

P = ParamSpec("P")
R = TypeVar("R")


class Task(Generic[P, R]):
    """A declared task. Awaiting a call enqueues an invocation.

    Attributes: `task_id`; `func`, the plain function; `is_async`, whether it is declared with `async def`.
    """

    is_async: bool

    def __init__(self, internals: AppInternals, definition: TaskDefinition) -> None:
        self._internals = internals
        self.definition = definition
        self.task_id: str = definition.task_id
        self.func: Callable[P, Any] = definition.func
        self.__name__: str = self.func.__name__
        self.__qualname__ = self.func.__qualname__
        self.__module__ = self.func.__module__
        self.__doc__ = self.func.__doc__
        self.__wrapped__: Callable[P, Any] = self.func

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.task_id}>"

    @property
    def signature(self) -> TaskSignature:
        """The parameters and return annotation, used to encode arguments and results."""
        return self.definition.signature

    @property
    def settings(self) -> TaskSettings:
        """The task's retries, timeout, queue and other options."""
        return self.definition.settings

    @property
    def registry(self) -> Registry:
        """Everything that the task's app declares."""
        return self._internals.registry

    async def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Invocation[R]:
        """Enqueues one invocation, which is durable when this returns.

        Raises TypeError if the arguments do not match the signature, SerializationError, PayloadTooLarge,
        BackendUnavailable.
        """
        return await self._enqueue(CallOptions(), *args, **kwargs)

    def options(
        self, *, delay: timedelta | float | None = None, idempotency_key: str | None = None, queue: str | None = None
    ) -> TaskCall[P, R]:
        """The same task with options for one call.

        `delay`: seconds or a timedelta before it may start. `idempotency_key`: later calls with the same key return the
        first call's invocation. `queue`: the queue it waits in. Raises DeclarationError.
        """
        return TaskCall(
            self, make_call_options(self.task_id, delay=delay, idempotency_key=idempotency_key, queue=queue)
        )

    def handle(self, invocation_id: str) -> Invocation[R]:
        """A handle on an invocation of this task, without looking it up."""
        return Invocation(self._internals, invocation_id, self.task_id)

    async def _enqueue(self, options: CallOptions, *args: P.args, **kwargs: P.kwargs) -> Invocation[R]:
        definition = self.definition
        arguments = definition.signature.encode_arguments(definition.signature.bind(*args, **kwargs))
        return self.handle(await self._internals.enqueue(definition, arguments, options))


class AsyncTask(Task[P, R]):
    """A task declared with `async def`. It runs on the runner's event loop."""

    func: Callable[P, Coroutine[Any, Any, R]]
    is_async = True


class SyncTask(Task[P, R]):
    """A task declared with `def`. It runs in a thread or in a child process."""

    func: Callable[P, R]
    is_async = False


class TaskCall(Generic[P, R]):
    """A task with call options. Awaiting a call enqueues an invocation."""

    def __init__(self, task: Task[P, R], options: CallOptions) -> None:
        self.task = task
        self.call_options = options

    def __repr__(self) -> str:
        given = ", ".join(f"{name}={value!r}" for name, value in self.call_options.given().items())
        return f"<{type(self.task).__name__} {self.task.task_id} with {given}>"

    async def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Invocation[R]:
        """Enqueues one invocation with these options; raises what calling the task raises."""
        return await self.task._enqueue(self.call_options, *args, **kwargs)

    def options(
        self, *, delay: timedelta | float | None = None, idempotency_key: str | None = None, queue: str | None = None
    ) -> TaskCall[P, R]:
        """The same call with the given options changed."""
        changed = self.task.options(delay=delay, idempotency_key=idempotency_key, queue=queue).call_options
        return TaskCall(self.task, replace(self.call_options, **changed.given()))


class TaskDecorator(Protocol):
    """What `@app.task(...)` returns."""

    @overload
    def __call__(  # type: ignore[overload-overlap]
        self, func: Callable[P, Coroutine[Any, Any, R]], /
    ) -> AsyncTask[P, R]: ...
    @overload
    def __call__(self, func: Callable[P, R], /) -> SyncTask[P, R]: ...
