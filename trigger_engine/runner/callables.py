"""Calling filters and providers: in a thread, each within a time limit, never blocked twice by the same one."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from threading import Lock
from typing import Any

from trigger_engine.runner.threads import Threads

logger = logging.getLogger(__name__)
_SHORT = 0.000_5
"""Seconds for which the event loop stands still for fast functions: being woken by their thread takes about as long."""


@dataclass(frozen=True, slots=True)
class Call:
    """One thing to compute with user code. `names`: the user functions it may call."""

    names: frozenset[str]
    function: Callable[[], Any]


@dataclass(frozen=True, slots=True)
class CallFailed:
    """A call that raised or took too long. `name`: the function, where it is known."""

    name: str
    error: str


class FunctionFailed(Exception):
    """Raised inside a call to say which user function failed."""

    def __init__(self, name: str, error: str) -> None:
        super().__init__(f"{name}: {error}")
        self.name = name
        self.error = error


class _Run:
    """Calls made one after the other in one thread."""

    def __init__(self, calls: Sequence[Call]) -> None:
        self.calls = calls
        self.results: list[Any] = []
        self.begun = time.monotonic()
        self.abandoned = False
        self._working = Lock()
        self._working.acquire()

    def work(self) -> None:
        try:
            for call in self.calls:
                self.begun = time.monotonic()
                result = _compute(call)
                if self.abandoned:
                    return
                self.results.append(result)
        finally:
            self._working.release()

    def ends_within(self, seconds: float) -> bool:
        """Blocks the caller for so long, or until everything is computed; True when it is."""
        return self._working.acquire(timeout=seconds)


class UserCalls:
    """Computes with user functions off the event loop. `timeout`: seconds for each call."""

    def __init__(self, timeout: float) -> None:
        self._timeout = timeout
        self._threads = Threads("trigger-engine filters")
        self._stuck: dict[str, asyncio.Future[None]] = {}

    async def compute(self, calls: Sequence[Call]) -> list[Any]:
        """Each call's value, or CallFailed, in order. A function that is still stuck from before fails at once."""
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
        """Lets the threads end."""
        self._threads.close()

    def _is_stuck(self, name: str) -> bool:
        return name in self._stuck and not self._stuck[name].done()

    def _free_calls(self, calls: Sequence[Call]) -> Sequence[Call]:
        for count, call in enumerate(calls):
            if any(self._is_stuck(name) for name in call.names):
                return calls[:count]
        return calls

    async def _run(self, calls: Sequence[Call]) -> list[Any]:
        run = _Run(calls)
        working = self._threads.run(run.work)
        if run.ends_within(_SHORT):
            return run.results
        while True:
            remaining = run.begun + self._timeout - time.monotonic()
            try:
                done, _ = await asyncio.wait([working], timeout=max(remaining, 0.001))
            except asyncio.CancelledError:
                run.abandoned = True
                working.cancel()
                raise
            if done:
                working.result()
                return run.results
            if time.monotonic() - run.begun >= self._timeout and len(run.results) < len(calls):
                return self._abandon(run, working)

    def _abandon(self, run: _Run, working: asyncio.Future[None]) -> list[Any]:
        run.abandoned = True
        results = list(run.results)
        call = run.calls[len(results)]
        for name in call.names:
            self._stuck[name] = working
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
    """`Type: message`, whatever the exception's own `str` does."""
    try:
        return f"{type(exc).__name__}: {exc}".encode("utf-8", "backslashreplace").decode()
    except BaseException as broken:
        return f"{type(exc).__name__} (its str() raised {type(broken).__name__})"
