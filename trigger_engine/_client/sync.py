"""`app.sync`: the app's methods for code that cannot await."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable, Coroutine, Mapping, Sequence
from concurrent.futures import Future
from typing import Any, Generic, ParamSpec, TypeVar

from trigger_engine._client.current import running
from trigger_engine._client.events import Event, EventLike, checked_events
from trigger_engine._client.internals import AppInternals
from trigger_engine._client.invocation import Invocation, find_invocation
from trigger_engine._client.task import Task, TaskCall
from trigger_engine._engine.lifecycle import InvocationStatus
from trigger_engine.errors import SyncInAsyncError

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")


class SyncFacade:
    """The app's methods in blocking form, for `def` code.

    In a `def` task's thread, calls go through the runner's event loop; in a task's child process, through the parent;
    elsewhere, through one daemon thread. In a thread with a running event loop they raise SyncInAsyncError.
    """

    def __init__(self, internals: AppInternals) -> None:
        self._internals = internals
        self._portal = Portal()

    def emit_event(
        self, event_code: str, payload: Mapping[str, Any] | None = None, *, idempotency_key: str | None = None
    ) -> str:
        """Blocking form of `TriggerEngine.emit_event`."""
        _refuse_in_loop("emit_event")
        return self._emit([Event(event_code, payload, idempotency_key)])[0]

    def emit_events(self, events: Sequence[EventLike]) -> list[str]:
        """Blocking form of `TriggerEngine.emit_events`."""
        _refuse_in_loop("emit_events")
        return self._emit(events)

    def enqueue(self, task: Task[P, R] | TaskCall[P, R], /, *args: P.args, **kwargs: P.kwargs) -> SyncInvocation[R]:
        """Enqueues one invocation; raises what calling the task raises.

        Examples: `app.sync.enqueue(task, x=1)`, `app.sync.enqueue(task.options(delay=5), x=1)`.
        """
        _refuse_in_loop("enqueue")
        current = running.get()
        if current is not None and current.outbox is not None:
            return SyncInvocation(self, current.outbox.enqueue(task, args, kwargs))
        return SyncInvocation(self, self._wait(lambda: task(*args, **kwargs)))

    def invocation(self, invocation_id: str) -> SyncInvocation[Any]:
        """Blocking form of `TriggerEngine.invocation`."""
        _refuse_in_loop("invocation")
        return SyncInvocation(self, self._wait(lambda: find_invocation(self._internals, invocation_id)))

    def _emit(self, events: Sequence[EventLike]) -> list[str]:
        current = running.get()
        if current is not None and current.outbox is not None:
            return current.outbox.emit(checked_events(events))
        return self._wait(lambda: self._internals.emit(events))

    def _wait(self, call: Callable[[], Coroutine[Any, Any, T]]) -> T:
        current = running.get()
        loop = current.loop if current is not None and current.loop is not None else self._portal.loop()
        future: Future[T] = asyncio.run_coroutine_threadsafe(call(), loop)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise


class SyncInvocation(Generic[R]):
    """A handle on one invocation for `def` code. Each method is the blocking form of the one of `Invocation`.

    Attributes: `invocation_id`, `task_id`.
    """

    def __init__(self, sync: SyncFacade, invocation: Invocation[R]) -> None:
        self._sync = sync
        self._invocation = invocation
        self.invocation_id: str = invocation.invocation_id
        self.task_id: str = invocation.task_id

    def __repr__(self) -> str:
        return f"<SyncInvocation {self.task_id} invocation:{self.invocation_id}>"

    def status(self) -> InvocationStatus:
        """Blocking form of `Invocation.status`."""
        _refuse_in_loop("status")
        return self._sync._wait(self._invocation.status)

    def result(self, timeout: float | None = None) -> R:
        """Blocking form of `Invocation.result`. `timeout`: seconds; None waits without limit."""
        _refuse_in_loop("result")
        return self._sync._wait(lambda: self._invocation.result(timeout))

    def cancel(self) -> bool:
        """Blocking form of `Invocation.cancel`."""
        _refuse_in_loop("cancel")
        return self._sync._wait(self._invocation.cancel)

    def rerun(self) -> SyncInvocation[R]:
        """Blocking form of `Invocation.rerun`."""
        _refuse_in_loop("rerun")
        return SyncInvocation(self._sync, self._sync._wait(self._invocation.rerun))


class Portal:
    """An event loop in a daemon thread, started on first use in each process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._pid = os.getpid()
        self._loop: asyncio.AbstractEventLoop | None = None

    def loop(self) -> asyncio.AbstractEventLoop:
        """The event loop, running in the daemon thread."""
        if self._pid != os.getpid():
            # At the fork, another thread may have held the lock.
            self._lock, self._loop, self._pid = threading.Lock(), None, os.getpid()
        with self._lock:
            if self._loop is None:
                self._loop = _start_loop()
            return self._loop


def _start_loop() -> asyncio.AbstractEventLoop:
    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, name="trigger-engine sync", daemon=True).start()
    return loop


def _refuse_in_loop(name: str) -> None:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return
    raise SyncInAsyncError(
        f"app.sync.{name} would block the event loop of this thread: "
        "await the call on the app itself, or make the task a def task"
    )
