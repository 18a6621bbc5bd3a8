"""Waiting for invocations to end: one follower per open log serves all waiters."""

from __future__ import annotations

import asyncio
import logging

from trigger_engine._engine.lifecycle import FINAL
from trigger_engine._model.entries import Cancelled, Failed, Succeeded
from trigger_engine.backend._contract import Cursor, EventLog, Invocation
from trigger_engine.errors import BackendUnavailable, InvocationNotFound, LogReplaced, LogTrimmed

logger = logging.getLogger(__name__)
_ENDS = (Succeeded, Failed, Cancelled)
_WAIT = 5.0
_RETRY_DELAY = 0.5


class ResultFollower:
    """Wakes waiters when their invocation ends. Follows the log only while there are waiters."""

    def __init__(self, log: EventLog) -> None:
        self._log = log
        self._waiters: dict[str, set[asyncio.Future[None]]] = {}
        self._task: asyncio.Task[None] | None = None
        self._started: asyncio.Future[None] | None = None

    async def ended(self, invocation_id: str) -> Invocation:
        """Waits until the invocation has a final status. Raises InvocationNotFound, BackendUnavailable."""
        while True:
            signal: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiters.setdefault(invocation_id, set()).add(signal)
            try:
                # The tail was read before this lookup, so the follower sees any end that the lookup misses.
                await self._ensure_following()
                found = await self._log.invocation(invocation_id)
                if found is None:
                    raise InvocationNotFound(not_found(invocation_id))
                if found.state.status in FINAL:
                    return found
                await signal
            finally:
                self._drop(invocation_id, signal)

    async def aclose(self) -> None:
        """Stops following. Waiters get BackendUnavailable."""
        task, self._task = self._task, None
        try:
            if task is not None:
                task.cancel()
                await asyncio.wait([task])
        finally:
            self._fail(BackendUnavailable("the app was closed while a result was awaited: keep `async with app` open"))

    def _drop(self, invocation_id: str, signal: asyncio.Future[None]) -> None:
        signals = self._waiters.get(invocation_id, set())
        signals.discard(signal)
        if not signals:
            self._waiters.pop(invocation_id, None)
        if not self._waiters and self._task is not None:
            self._task.cancel()
            self._task = None

    async def _ensure_following(self) -> None:
        if self._task is None or self._task.done():
            self._started = asyncio.get_running_loop().create_future()
            self._task = asyncio.create_task(self._follow(self._started), name="trigger-engine results")
            self._task.add_done_callback(self._follow_ended)
        assert self._started is not None
        await asyncio.shield(self._started)

    def _follow_ended(self, task: asyncio.Task[None]) -> None:
        """If the task was cancelled from outside, wakes the waiters, who look again and start a new one."""
        if task is self._task and task.cancelled():
            self._task = None
            if self._started is not None and not self._started.done():
                self._started.set_result(None)
            self._wake(list(self._waiters))

    async def _follow(self, started: asyncio.Future[None]) -> None:
        try:
            cursor = await self._log.tail()
            started.set_result(None)
            while True:
                cursor = await self._next(cursor)
        except Exception as exc:
            self._fail(exc)

    async def _next(self, cursor: Cursor) -> Cursor:
        try:
            batch = await self._log.follow(cursor, wait=_WAIT)
            self._wake([entry.invocation_id for _, entry in batch.entries if isinstance(entry, _ENDS)])
            return batch.cursor
        except (LogReplaced, LogTrimmed) as exc:
            return await self._restart(cursor, exc)
        except BackendUnavailable as exc:
            return await self._pause(cursor, exc)

    async def _restart(self, cursor: Cursor, reason: Exception) -> Cursor:
        logger.info("results: %s", reason)
        try:
            tail = await self._log.tail()
        except BackendUnavailable as exc:
            return await self._pause(cursor, exc)
        self._wake(list(self._waiters))
        return tail

    async def _pause(self, cursor: Cursor, reason: Exception) -> Cursor:
        logger.warning("results: %s", reason)
        await asyncio.sleep(_RETRY_DELAY)
        return cursor

    def _fail(self, error: Exception) -> None:
        waiting = [signal for signals in self._waiters.values() for signal in signals]
        for future in (self._started, *waiting):
            if future is not None and not future.done():
                future.set_exception(error)
                future.exception()  # Marked as retrieved: a waiter cancelled right now must not cause a warning.

    def _wake(self, invocation_ids: list[str]) -> None:
        for invocation_id in invocation_ids:
            for signal in self._waiters.get(invocation_id, ()):
                if not signal.done():
                    signal.set_result(None)


def not_found(invocation_id: str) -> str:
    """The error message for an unknown invocation id."""
    return (
        f"invocation:{invocation_id} is not in the log: check the id and the app id; "
        "retention may have removed it (event_retention_days)"
    )
