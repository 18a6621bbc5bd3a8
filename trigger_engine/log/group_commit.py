"""Group commit: concurrent appends of one event loop become one append of the log."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence

from trigger_engine.entries.encoding import encode_entry
from trigger_engine.errors import BackendUnavailable, NothingStored, PayloadTooLarge, SerializationError
from trigger_engine.log.contract import EventLog, Outcome, Part

MAX_ENTRIES = 2_000
MAX_BYTES = 4 * 1024 * 1024
CLOSE_SECONDS = 5.0
"""How long a log that hangs may keep who closes it."""
RESEND_DELAYS = (0.05, 0.2, 0.5)
"""Seconds before each time that a batch is sent again."""


class _Request:
    """One caller's parts, which go into one batch together, and the future for their outcomes."""

    __slots__ = ("done", "entries", "parts", "size")

    def __init__(self, parts: Sequence[Part], size: int, done: asyncio.Future[list[Outcome]]) -> None:
        self.parts = parts
        self.entries = sum(map(len, parts))
        self.size = size
        self.done = done


class GroupCommit:
    """Appends for many callers at once; each gets the outcome of its own parts.

    While one append is under way the next batch gathers. A batch holds at most `max_entries` entries and `max_bytes`
    of their encoding (a larger request goes alone); callers beyond that wait their turn, first come first served.
    Cancelling a caller takes its parts back unless they are under way.

    A batch whose fate is unknown is sent again, unchanged, before anything newer: first by itself, and when that does
    not help and its callers were told, before the next batch. One that certainly was not stored is only sent again
    while its callers wait: whoever was told so may make the call again.
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
        self._under_way: list[_Request] = []
        self._flushing: asyncio.Task[None] | None = None
        self._closed = False

    def submit(self, parts: Sequence[Part]) -> asyncio.Future[list[Outcome]]:
        """Appends parts durably in one atomic write, in order; cancelling takes them back unless they are under way.

        The future raises SerializationError for these parts alone, BackendUnavailable for the batch that they are in.
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
        """Flushes what callers wait for, for CLOSE_SECONDS at most, and takes nothing more; twice is harmless."""
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
        # A callback, not a `finally`: a task that is cancelled before its first step runs nothing of itself.
        self._flushing = None
        if task.cancelled():
            self._fail_waiting()
        elif self._queue:
            self._start_flushing()

    def _gather(self) -> bool:
        """Takes the next batch; what was cancelled before its turn is left out. False when there is none."""
        entries = size = 0
        self._under_way = []
        while self._queue:
            request = self._queue[0]
            full = entries + request.entries > self._max_entries or size + request.size > self._max_bytes
            if full and self._under_way:
                break
            self._queue.popleft()
            if not request.done.done():
                self._under_way.append(request)
                entries += request.entries
                size += request.size
        return bool(self._under_way)

    async def _append_batch(self) -> None:
        batch = self._under_way
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
                # One of them is not to be stored; which one shows alone.
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
        """Appends parts, which stay unsettled while nobody knows whether they took effect."""
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
        stopped = BackendUnavailable("the append was cut off, its effect is unknown: make the same call again")
        _fail([*self._under_way, *self._queue], stopped)
        self._under_way = []
        self._queue.clear()


def _fail(requests: Sequence[_Request], exc: Exception) -> None:
    for request in requests:
        if not request.done.done():
            request.done.set_exception(exc)
