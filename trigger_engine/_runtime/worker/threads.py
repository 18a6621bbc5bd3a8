"""Daemon threads for user functions. A function that never returns blocks neither a slot nor interpreter exit."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any, TypeVar

T = TypeVar("T")
_Job = tuple[asyncio.Future[Any], contextvars.Context, Callable[[], Any]]


class Threads:
    """A pool of daemon threads that grows as needed. `close` ends the idle threads."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._idle: list[SimpleQueue[_Job | None]] = []
        self._lock = threading.Lock()
        self._closed = False

    def run(self, function: Callable[[], T]) -> asyncio.Future[T]:
        """Runs the function in the caller's context. Cancelling the future leaves the thread running."""
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        with self._lock:
            inbox = self._idle.pop() if self._idle else self._start()
        inbox.put((future, contextvars.copy_context(), function))
        return future

    def close(self) -> None:
        """Ends the idle threads now, and busy threads after their current function."""
        with self._lock:
            self._closed = True
            for inbox in self._idle:
                inbox.put(None)
            self._idle.clear()

    def _start(self) -> SimpleQueue[_Job | None]:
        inbox: SimpleQueue[_Job | None] = SimpleQueue()
        threading.Thread(target=self._work, args=(inbox,), name=self._name, daemon=True).start()
        return inbox

    def _work(self, inbox: SimpleQueue[_Job | None]) -> None:
        while (job := inbox.get()) is not None:
            future, context, function = job
            try:
                value, error = context.run(function), None
            except BaseException as exc:
                value, error = None, exc
            with self._lock:
                if not self._closed:
                    self._idle.append(inbox)
                else:
                    inbox.put(None)
            _deliver(future, value, error)
            del job, future, context, function, value, error


def _deliver(future: asyncio.Future[Any], value: Any, error: BaseException | None) -> None:
    def settle() -> None:
        if future.done():
            return
        if isinstance(error, StopIteration):
            # A future rejects StopIteration, which would end a coroutine silently.
            future.set_exception(RuntimeError(f"StopIteration raised: {error}"))
        elif error is not None:
            future.set_exception(error)
        else:
            future.set_result(value)

    try:
        future.get_loop().call_soon_threadsafe(settle)
    except RuntimeError:
        return  # The loop is closed, so nobody is waiting.
