"""Calling filters and providers: in a thread, with a time limit, never blocked twice by the same function."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from threading import Lock
from typing import Any

from trigger_engine._runtime.worker.threads import Threads

logger = logging.getLogger(__name__)
_BLOCKING_WAIT = 0.000_5
"""Seconds to block the event loop for fast functions; a wake-up from their thread would take about as long."""


@dataclass(frozen=True, slots=True)
class Call:
    """A computation with user code. `names`: the user functions it may call."""

    names: frozenset[str]
    function: Callable[[], Any]


@dataclass(frozen=True, slots=True)
class CallFailed:
    """A call that raised or timed out. `name`: the function, if known."""

    name: str
    error: str


class FunctionFailed(Exception):
    """Raised inside a call to name the user function that failed."""

    def __init__(self, name: str, error: str) -> None:
        super().__init__(f"{name}: {error}")
        self.name = name
        self.error = error


class _Batch:
    """Calls made one after another in one thread."""

    def __init__(self, calls: Sequence[Call]) -> None:
        self.calls = calls
        self.results: list[Any] = []
        self.call_started = time.monotonic()
        self.abandoned = False
        self._working = Lock()
        self._working.acquire()

    def work(self) -> None:
        try:
            for call in self.calls:
                self.call_started = time.monotonic()
                result = _compute(call)
                if self.abandoned:
                    return
                self.results.append(result)
        finally:
            self._working.release()

    def finishes_within(self, seconds: float) -> bool:
        """Blocks up to `seconds` for all calls to finish; returns whether they have."""
        return self._working.acquire(timeout=seconds)


class UserCalls:
    """Runs calls off the event loop. `timeout`: seconds for each call."""

    def __init__(self, timeout: float) -> None:
        self._timeout = timeout
        self._threads = Threads("trigger-engine filters")
        self._stuck: dict[str, asyncio.Future[None]] = {}

    async def compute(self, calls: Sequence[Call]) -> list[Any]:
        """Each call's value or CallFailed, in order. A call of a function that is still stuck fails immediately."""
        results: list[Any] = []
        while len(results) < len(calls):
            call = calls[len(results)]
            stuck = next((name for name in sorted(call.names) if self._is_stuck(name)), None)
            if stuck is not None:
                results.append(CallFailed(stuck, "an earlier call of it has not returned yet"))
                continue
            results += await self._run(self._free_calls(calls[len(results) :]))
        return results

    def close(self) -> None:
        """Ends the threads once they are idle."""
        self._threads.close()

    def _is_stuck(self, name: str) -> bool:
        return name in self._stuck and not self._stuck[name].done()

    def _free_calls(self, calls: Sequence[Call]) -> Sequence[Call]:
        for count, call in enumerate(calls):
            if any(self._is_stuck(name) for name in call.names):
                return calls[:count]
        return calls

    async def _run(self, calls: Sequence[Call]) -> list[Any]:
        batch = _Batch(calls)
        future = self._threads.run(batch.work)
        if batch.finishes_within(_BLOCKING_WAIT):
            return batch.results
        while True:
            remaining = batch.call_started + self._timeout - time.monotonic()
            try:
                done, _ = await asyncio.wait([future], timeout=max(remaining, 0.001))
            except asyncio.CancelledError:
                batch.abandoned = True
                future.cancel()
                raise
            if done:
                future.result()
                return batch.results
            if time.monotonic() - batch.call_started >= self._timeout and len(batch.results) < len(calls):
                return self._abandon(batch, future)

    def _abandon(self, batch: _Batch, future: asyncio.Future[None]) -> list[Any]:
        batch.abandoned = True
        results = list(batch.results)
        call = batch.calls[len(results)]
        for name in call.names:
            self._stuck[name] = future
        names = ", ".join(sorted(call.names))
        logger.warning("%s took longer than %s s (callable_timeout) and counts as failed", names, self._timeout)
        return [*results, CallFailed(names, f"took longer than {self._timeout} s (callable_timeout)")]


def _compute(call: Call) -> Any:
    try:
        return call.function()
    except FunctionFailed as failed:
        return CallFailed(failed.name, failed.error)
    except BaseException as exc:
        return CallFailed(", ".join(sorted(call.names)), describe(exc))


def describe(exc: BaseException) -> str:
    """`Type: message`, even if the exception's `str()` raises."""
    try:
        return f"{type(exc).__name__}: {exc}".encode("utf-8", "backslashreplace").decode()
    except BaseException as broken:
        return f"{type(exc).__name__} (its str() raised {type(broken).__name__})"
