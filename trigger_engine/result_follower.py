"""Waiting for invocations to end: one follower per open log, however many wait."""

from __future__ import annotations

import asyncio
import logging

from trigger_engine.core.lifecycle import FINAL
from trigger_engine.entries.facts import Cancelled, Failed, Succeeded
from trigger_engine.errors import BackendUnavailable, InvocationNotFound, LogReplaced, LogTrimmed
from trigger_engine.log.contract import Bookmark, EventLog, Invocation

logger = logging.getLogger(__name__)
_ENDS = (Succeeded, Failed, Cancelled)
_WAIT = 5.0
_RETRY_DELAY = 0.5


class ResultFollower:
    """Tells waiters when their invocation has ended. It follows the log only while somebody waits."""

    def __init__(self, log: EventLog) -> None:
        self._log = log
        self._waiters: dict[str, set[asyncio.Future[None]]] = {}
        self._task: asyncio.Task[None] | None = None
        self._begun: asyncio.Future[None] | None = None

    async def ended(self, invocation_id: str) -> Invocation:
        """The invocation once it has a final status. Raises InvocationNotFound, BackendUnavailable."""
        while True:
            signal: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiters.setdefault(invocation_id, set()).add(signal)
            try:
                # A tail read before this look cannot miss an end that the look did not see.
                await self._begin()
                found = await self._log.invocation(invocation_id)
                if found is None:
                    raise InvocationNotFound(not_found(invocation_id))
                if found.state.status in FINAL:
                    return found
                await signal
            finally:
                self._drop(invocation_id, signal)

    async def aclose(self) -> None:
        """Stops following; waiters get BackendUnavailable."""
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

    async def _begin(self) -> None:
        if self._task is None or self._task.done():
            self._begun = asyncio.get_running_loop().create_future()
            self._task = asyncio.create_task(self._follow(self._begun), name="trigger-engine results")
            self._task.add_done_callback(self._stopped)
        assert self._begun is not None
        await asyncio.shield(self._begun)

    def _stopped(self, task: asyncio.Task[None]) -> None:
        """Cancelled by somebody else, it has told nobody: those who wait look again, and begin another."""
        if task is self._task and task.cancelled():
            self._task = None
            if self._begun is not None and not self._begun.done():
                self._begun.set_result(None)
            self._wake(list(self._waiters))

    async def _follow(self, begun: asyncio.Future[None]) -> None:
        try:
            bookmark = await self._log.tail()
            begun.set_result(None)
            while True:
                bookmark = await self._next(bookmark)
        except Exception as exc:
            self._fail(exc)

    async def _next(self, bookmark: Bookmark) -> Bookmark:
        try:
            batch = await self._log.follow(bookmark, wait=_WAIT)
            self._wake([entry.invocation_id for _, entry in batch.entries if isinstance(entry, _ENDS)])
            return batch.bookmark
        except (LogReplaced, LogTrimmed) as exc:
            return await self._start_again(bookmark, exc)
        except BackendUnavailable as exc:
            return await self._pause(bookmark, exc)

    async def _start_again(self, bookmark: Bookmark, reason: Exception) -> Bookmark:
        logger.info("results: %s", reason)
        try:
            tail = await self._log.tail()
        except BackendUnavailable as exc:
            return await self._pause(bookmark, exc)
        self._wake(list(self._waiters))
        return tail

    async def _pause(self, bookmark: Bookmark, reason: Exception) -> Bookmark:
        logger.warning("results: %s", reason)
        await asyncio.sleep(_RETRY_DELAY)
        return bookmark

    def _fail(self, error: Exception) -> None:
        waiting = [signal for signals in self._waiters.values() for signal in signals]
        for each in (self._begun, *waiting):
            if each is not None and not each.done():
                each.set_exception(error)
                each.exception()  # A waiter that gives up in this moment must not leave a warning behind.

    def _wake(self, invocation_ids: list[str]) -> None:
        for invocation_id in invocation_ids:
            for signal in self._waiters.get(invocation_id, ()):
                if not signal.done():
                    signal.set_result(None)


def not_found(invocation_id: str) -> str:
    """The message for an id that the log does not hold."""
    return (
        f"invocation:{invocation_id} is not in the log: check the id and the app id, "
        "or retention has removed it (event_retention_days)"
    )
