"""`app.sync`: the engine from code that cannot await."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable, Coroutine, Mapping, Sequence
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, TypeVar

from trigger_engine.current import running
from trigger_engine.errors import SyncInAsyncError
from trigger_engine.event import Event, EventLike, checked_events

if TYPE_CHECKING:
    from trigger_engine.app import TriggerEngine
    from trigger_engine.core.lifecycle import InvocationStatus
    from trigger_engine.invocation import Invocation
    from trigger_engine.task import Task, TaskCall

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")


class SyncFacade:
    """The app's calls for `def` code.

    In a `def` task's thread they go through the runner's event loop, in a task's child process through its parent,
    elsewhere through one daemon thread. On a thread with a running event loop they raise SyncInAsyncError.
    """

    def __init__(self, app: TriggerEngine) -> None:
        self._app = app
        self._portal = Portal()

    def emit_event(
        self, event_code: str, payload: Mapping[str, Any] | None = None, *, idempotency_key: str | None = None
    ) -> str:
        """As `TriggerEngine.emit_event`."""
        _refuse_in_loop("emit_event")
        return self._emit([Event(event_code, payload, idempotency_key)])[0]

    def emit_events(self, events: Sequence[EventLike]) -> list[str]:
        """As `TriggerEngine.emit_events`."""
        _refuse_in_loop("emit_events")
        return self._emit(events)

    def enqueue(self, task: Task[P, R] | TaskCall[P, R], /, *args: P.args, **kwargs: P.kwargs) -> SyncInvocation[R]:
        """Enqueues one invocation: `app.sync.enqueue(task, x=1)`, `app.sync.enqueue(task.options(delay=5), x=1)`."""
        _refuse_in_loop("enqueue")
        current = running.get()
        if current is not None and current.outbox is not None:
            return SyncInvocation(self, current.outbox.enqueue(task, args, kwargs))
        return SyncInvocation(self, self._wait(lambda: task(*args, **kwargs)))

    def invocation(self, invocation_id: str) -> SyncInvocation[Any]:
        """As `TriggerEngine.invocation`."""
        _refuse_in_loop("invocation")
        return SyncInvocation(self, self._wait(lambda: self._app.invocation(invocation_id)))

    def _emit(self, events: Sequence[EventLike]) -> list[str]:
        current = running.get()
        if current is not None and current.outbox is not None:
            return current.outbox.emit(checked_events(events))
        return self._wait(lambda: self._app.emit_events(events))

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
    """A handle on one invocation for `def` code; each method is the blocking form of `Invocation`'s."""

    def __init__(self, sync: SyncFacade, invocation: Invocation[R]) -> None:
        self._sync = sync
        self._invocation = invocation
        self.invocation_id = invocation.invocation_id
        self.task_id = invocation.task_id

    def __repr__(self) -> str:
        return f"<SyncInvocation {self.task_id} invocation:{self.invocation_id}>"

    def status(self) -> InvocationStatus:
        """As `Invocation.status`."""
        _refuse_in_loop("status")
        return self._sync._wait(self._invocation.status)

    def result(self, timeout: float | None = None) -> R:
        """As `Invocation.result`; `timeout` in seconds."""
        _refuse_in_loop("result")
        return self._sync._wait(lambda: self._invocation.result(timeout))

    def cancel(self) -> bool:
        """As `Invocation.cancel`."""
        _refuse_in_loop("cancel")
        return self._sync._wait(self._invocation.cancel)

    def rerun(self) -> SyncInvocation[R]:
        """As `Invocation.rerun`."""
        _refuse_in_loop("rerun")
        return SyncInvocation(self._sync, self._sync._wait(self._invocation.rerun))


class Portal:
    """An event loop on a daemon thread, started on first use, one per process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._pid = os.getpid()
        self._loop: asyncio.AbstractEventLoop | None = None

    def loop(self) -> asyncio.AbstractEventLoop:
        """The running loop of the daemon thread."""
        if self._pid != os.getpid():
            # The fork may have happened while another thread held the lock.
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
        f"app.sync.{name} would block the event loop that runs on this thread: "
        "await the call on the app itself, or make the task a def task"
    )
