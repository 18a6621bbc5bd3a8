"""A thread that runs blocking work in order of submission."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import weakref
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any, TypeVar

T = TypeVar("T")
_Job = tuple[Callable[[], Any], asyncio.AbstractEventLoop, "asyncio.Future[Any]"]


class WorkThread:
    """A daemon thread, which does not keep the interpreter alive. It ends when stopped or garbage-collected."""

    def __init__(self, name: str) -> None:
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        threading.Thread(target=_work, args=(self._jobs,), name=name, daemon=True).start()
        self._stop = weakref.finalize(self, self._jobs.put, None)
        self._stop.atexit = False

    async def run(self, function: Callable[..., T], *args: Any) -> T:
        """Calls a function on the thread and returns its result. It still runs if the caller is cancelled."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        self._jobs.put((lambda: function(*args), loop, future))
        return await future

    def stop(self) -> None:
        """Ends the thread after the submitted work. Stopping twice is harmless."""
        self._stop()


def _work(jobs: SimpleQueue[_Job | None]) -> None:
    while (job := jobs.get()) is not None:
        function, loop, future = job
        try:
            outcome, error = function(), None
        except BaseException as exc:
            outcome, error = None, exc
        # The loop may be closed by now; then nobody waits for the result.
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(_settle, future, outcome, error)
        del job, function, future, outcome, error


def _settle(future: asyncio.Future[Any], outcome: Any, error: BaseException | None) -> None:
    if future.cancelled():
        return
    if error is None:
        future.set_result(outcome)
    else:
        future.set_exception(error)
