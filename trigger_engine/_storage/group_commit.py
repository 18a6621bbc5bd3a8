"""Group commit: combines concurrent appends of one event loop into one append of the log."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence

from trigger_engine._model.encoding import encode_entry
from trigger_engine.backend._contract import EventLog, Outcome, Part
from trigger_engine.errors import BackendUnavailable, NothingStored, PayloadTooLarge, SerializationError

MAX_ENTRIES = 2_000
MAX_BYTES = 4 * 1024 * 1024
CLOSE_SECONDS = 5.0
"""How long closing waits for a log that hangs."""
RESEND_DELAYS = (0.05, 0.2, 0.5)
"""Seconds to wait before each attempt to send a batch again."""


class _Request:
    """One caller's parts, which stay in one batch, and the future for their outcomes."""

    __slots__ = ("done", "entries", "parts", "size")

    def __init__(self, parts: Sequence[Part], size: int, done: asyncio.Future[list[Outcome]]) -> None:
        self.parts = parts
        self.entries = sum(map(len, parts))
        self.size = size
        self.done = done


class GroupCommit:
    """Appends for many callers at once; each gets the outcomes of its own parts.

    While one append runs, the next batch gathers. A batch holds at most `max_entries` entries and `max_bytes` encoded
    bytes (a larger request is sent alone); further callers wait in order of arrival. Cancelling a caller removes its
    parts unless their append has begun.

    A batch whose effect is unknown is sent again, unchanged, before anything newer: a few times while its callers wait,
    and once they have failed, before the next batch. A batch that was certainly not stored is sent again only while its
    callers wait, because they may repeat the call themselves.
    """

    def __init__(
        self,
        log: EventLog,
        *,
        max_entries: int = MAX_ENTRIES,
        max_bytes: int = MAX_BYTES,
        resend_delays: Sequence[float] = RESEND_DELAYS,
    ) -> None:
        self._log = log
        self._max_entries = max_entries
        self._max_bytes = max_bytes
        self._resend_delays = resend_delays
        self._queue: deque[_Request] = deque()
        self._unsettled: list[Part] = []
        self._sending: list[_Request] = []
        self._flushing: asyncio.Task[None] | None = None
        self._closed = False

    def submit(self, parts: Sequence[Part]) -> asyncio.Future[list[Outcome]]:
        """Appends parts durably, in order, in one atomic write; cancelling removes them unless the append has begun.

        Raises SerializationError and, after closing, BackendUnavailable. The future raises BackendUnavailable when the
        append of the batch failed.
        """
        size = sum([len(encode_entry(entry)) for part in parts for entry in part])
        if self._closed:
            raise BackendUnavailable("the log was closed while something was appended: keep `async with app` open")
        request = _Request(parts, size, asyncio.get_running_loop().create_future())
        self._queue.append(request)
        if self._flushing is None:
            self._start_flushing()
        return request.done

    async def aclose(self) -> None:
        """Accepts nothing more and flushes waiting appends for CLOSE_SECONDS at most; may be called twice."""
        self._closed = True
        flushing = self._flushing
        if flushing is None:
            return
        try:
            await asyncio.wait([flushing], timeout=CLOSE_SECONDS)
        finally:
            flushing.cancel()
            await asyncio.wait([flushing])

    def _start_flushing(self) -> None:
        self._flushing = asyncio.create_task(self._flush(), name="trigger-engine group commit")
        self._flushing.add_done_callback(self._flushed)

    async def _flush(self) -> None:
        """Appends batches until no caller waits."""
        while self._gather():
            await self._append_batch()

    def _flushed(self, task: asyncio.Task[None]) -> None:
        # A callback, not a `finally`: a task that is cancelled before its first step never runs its body.
        self._flushing = None
        if task.cancelled():
            self._fail_waiting()
        elif self._queue:
            self._start_flushing()

    def _gather(self) -> bool:
        """Takes the next batch from the queue without cancelled requests. False when there is none."""
        entries = size = 0
        self._sending = []
        while self._queue:
            request = self._queue[0]
            full = entries + request.entries > self._max_entries or size + request.size > self._max_bytes
            if full and self._sending:
                break
            self._queue.popleft()
            if not request.done.done():
                self._sending.append(request)
                entries += request.entries
                size += request.size
        return bool(self._sending)

    async def _append_batch(self) -> None:
        batch = self._sending
        try:
            if self._unsettled:
                await self._send(self._unsettled)
        except Exception as exc:
            _fail(batch, exc)
        else:
            await self._append_together(batch)

    async def _append_together(self, requests: Sequence[_Request]) -> None:
        try:
            outcomes = await self._send([part for request in requests for part in request.parts])
        except Exception as exc:
            if isinstance(exc, (SerializationError, PayloadTooLarge)) and len(requests) > 1:
                # One request is invalid; sent one by one, only that one fails.
                for request in requests:
                    await self._append_together([request])
            else:
                _fail(requests, exc)
            return
        start = 0
        for request in requests:
            end = start + len(request.parts)
            if not request.done.done():
                request.done.set_result(outcomes[start:end])
            start = end

    async def _send(self, parts: list[Part]) -> list[Outcome]:
        """Appends parts, and keeps them in `_unsettled` while their effect is unknown."""
        doubtful = parts is self._unsettled
        self._unsettled = parts
        delays = iter(self._resend_delays)
        while True:
            try:
                outcomes = await self._log.append(parts)
            except BackendUnavailable as exc:
                doubtful = doubtful or not isinstance(exc, NothingStored)
                delay = next(delays, None)
                if delay is None:
                    self._unsettled = parts if doubtful else []
                    raise
                await asyncio.sleep(delay)
            except Exception:
                self._unsettled = []
                raise
            else:
                self._unsettled = []
                return outcomes

    def _fail_waiting(self) -> None:
        stopped = BackendUnavailable("the append was interrupted, its effect is unknown: make the same call again")
        _fail([*self._sending, *self._queue], stopped)
        self._sending = []
        self._queue.clear()


def _fail(requests: Sequence[_Request], exc: Exception) -> None:
    for request in requests:
        if not request.done.done():
            request.done.set_exception(exc)
