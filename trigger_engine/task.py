"""Tasks: functions that can be called by triggers and enqueued by hand."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Generic, Literal, ParamSpec, Protocol, TypeVar, overload

from trigger_engine.core.retry import RetryPolicy
from trigger_engine.errors import DeclarationError
from trigger_engine.invocation import Invocation
from trigger_engine.signature import TaskSignature
from trigger_engine.values import is_text

if TYPE_CHECKING:
    from trigger_engine.app import TriggerEngine

P = ParamSpec("P")
R = TypeVar("R")
TASK_OPTIONS = ("triggers", "task_id", "max_retries", "retry_for", "timeout", "queue", "run_in")
"""The keywords of `@app.task(…)`."""
_LONGEST_DELAY = timedelta(days=36500).total_seconds()


@dataclass(frozen=True, slots=True, kw_only=True)
class CallOptions:
    """How one call is enqueued. `delay`: seconds."""

    delay: float | None = None
    idempotency_key: str | None = None
    queue: str | None = None

    def given(self) -> dict[str, Any]:
        """Those that are not None, by name."""
        return {name: value for name in self.__slots__ if (value := getattr(self, name)) is not None}


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskSettings:
    """How a task runs. `timeout`: seconds, None for no limit; `run_in`: None lets the runner decide for `def` tasks."""

    retries: RetryPolicy
    timeout: float | None
    queue: str
    run_in: Literal["thread", "process"] | None


class Task(Generic[P, R]):
    """A declared task. Calling it enqueues an invocation; `func` is the plain function."""

    is_async: bool

    def __init__(
        self, app: TriggerEngine, task_id: str, func: Callable[P, Any], signature: TaskSignature, settings: TaskSettings
    ) -> None:
        self.app = app
        self.task_id = task_id
        self.func = func
        self.signature = signature
        self.settings = settings
        self.__name__ = func.__name__
        self.__qualname__ = func.__qualname__
        self.__module__ = func.__module__
        self.__doc__ = func.__doc__
        self.__wrapped__ = func

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.task_id}>"

    async def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Invocation[R]:
        """Enqueues one invocation, durably when it returns.

        Raises SerializationError, PayloadTooLarge, BackendUnavailable, TypeError for arguments that do not fit.
        """
        return await self.app._enqueue(self, self.signature.bind(*args, **kwargs), CallOptions())

    def options(
        self, *, delay: timedelta | float | None = None, idempotency_key: str | None = None, queue: str | None = None
    ) -> TaskCall[P, R]:
        """The same task with options for one call.

        `delay`: seconds or a timedelta; `idempotency_key`: the first call with a key counts, later ones return its
        invocation; `queue`: where it waits. Raises DeclarationError.
        """
        return TaskCall(
            self, make_call_options(self.task_id, delay=delay, idempotency_key=idempotency_key, queue=queue)
        )


class AsyncTask(Task[P, R]):
    """A task declared with `async def`: it runs on the runner's event loop."""

    func: Callable[P, Coroutine[Any, Any, R]]
    is_async = True


class SyncTask(Task[P, R]):
    """A task declared with `def`: it runs in a thread or in a child process."""

    func: Callable[P, R]
    is_async = False


class TaskCall(Generic[P, R]):
    """A task with call options; calling it enqueues."""

    def __init__(self, task: Task[P, R], options: CallOptions) -> None:
        self.task = task
        self.call_options = options

    def __repr__(self) -> str:
        given = ", ".join(f"{name}={value!r}" for name, value in self.call_options.given().items())
        return f"<{type(self.task).__name__} {self.task.task_id} with {given}>"

    async def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Invocation[R]:
        """Enqueues one invocation with these options; raises what calling the task raises."""
        return await self.task.app._enqueue(self.task, self.task.signature.bind(*args, **kwargs), self.call_options)

    def options(
        self, *, delay: timedelta | float | None = None, idempotency_key: str | None = None, queue: str | None = None
    ) -> TaskCall[P, R]:
        """These options, with the given ones changed."""
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


def make_call_options(
    task_id: str, *, delay: timedelta | float | None, idempotency_key: str | None, queue: str | None
) -> CallOptions:
    """Checked options of one call. Raises DeclarationError naming the task and the option."""
    seconds = None if delay is None else _seconds(delay)
    if delay is not None and (seconds is None or not abs(seconds) <= _LONGEST_DELAY):
        raise DeclarationError(f"task {task_id}: delay is {delay!r}: give seconds or a timedelta, at most 100 years")
    if idempotency_key is not None:
        _check_name(task_id, "idempotency_key", idempotency_key)
    if queue is not None:
        _check_name(task_id, "queue", queue)
    return CallOptions(delay=seconds, idempotency_key=idempotency_key, queue=queue)


def make_settings(
    task_id: str,
    *,
    is_async: bool,
    max_retries: Any,
    retry_for: Any,
    timeout: timedelta | float | None,
    queue: Any,
    run_in: Any,
) -> TaskSettings:
    """Checked settings of a task. Raises DeclarationError naming the task and the option."""
    _check_name(task_id, "task_id", task_id)
    classes = retry_for if isinstance(retry_for, tuple) else (retry_for,)
    if not isinstance(max_retries, int) or isinstance(max_retries, bool) or max_retries < 0:
        raise DeclarationError(f"task {task_id}: max_retries is {max_retries!r}: give a whole number, 0 or more")
    if not all(inspect.isclass(c) and issubclass(c, BaseException) for c in classes):
        raise DeclarationError(f"task {task_id}: retry_for is {retry_for!r}: give exception classes, one or a tuple")
    seconds = None if timeout is None else _seconds(timeout)
    if timeout is not None and (seconds is None or not seconds > 0):
        raise DeclarationError(f"task {task_id}: timeout is {timeout!r}: give seconds above 0, or None for no limit")
    _check_name(task_id, "queue", queue)
    if is_async and run_in is not None:
        raise DeclarationError(
            f"task {task_id}: run_in is for def tasks, an async task runs on the event loop: drop it"
        )
    if run_in not in (None, "thread", "process"):
        raise DeclarationError(f'task {task_id}: run_in is {run_in!r}: give "thread" or "process"')
    retries = RetryPolicy(max_retries=max_retries, retry_for=classes)
    return TaskSettings(retries=retries, timeout=seconds, queue=queue, run_in=run_in)


def _seconds(given: object) -> float | None:
    if isinstance(given, timedelta):
        return given.total_seconds()
    return given if isinstance(given, (int, float)) and not isinstance(given, bool) else None


def _check_name(task_id: str, option: str, name: object) -> None:
    if not isinstance(name, str) or not name.strip() or not is_text(name):
        raise DeclarationError(f"task {task_id}: {option} is {name!r}: give a non-empty string")
