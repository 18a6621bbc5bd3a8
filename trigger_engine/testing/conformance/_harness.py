"""The description of a backend under test, and helpers shared by the tests."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, ClassVar

import pytest

from trigger_engine._model.entries import AnyEntry, Position
from trigger_engine.backend._contract import Accepted, Backend, Cursor, EventLog, Outcome, Refused

PATIENCE = 10.0
"""How many seconds a test waits for something that should happen within milliseconds."""


class LogHarness(ABC):
    """An empty store of the backend under test. The test module provides it as the fixture `harness`."""

    clock: Callable[[], float]
    """The clock with which every log of this harness is opened."""
    steered: ClassVar[bool] = True
    """False if `pass_time` must really wait, because the store has its own clock."""
    moment: ClassVar[float] = 0.2
    """A time in seconds that is longer than a few calls take, but short enough for tests to wait."""
    trims: ClassVar[bool] = True
    """False if the store removes entries only in whole segments, when it chooses to."""
    can_restore: ClassVar[bool] = True
    """False if `save` and `restore` cannot bring back an older state of the store."""

    @abstractmethod
    def backend(self, app_id: str) -> Backend:
        """A new backend for an app in the store; all backends of one app share its data."""

    @abstractmethod
    async def pass_time(self, seconds: float) -> None:
        """Advances the clocks for leases, heartbeats and `not_before`."""

    async def save(self) -> Any:
        """A copy of the whole store, for `restore`."""
        raise NotImplementedError

    async def restore(self, saved: Any) -> None:
        """Restores a copy, as an administrator might while programs run."""
        raise NotImplementedError

    async def open(self, app_id: str = "shop") -> EventLog:
        """Opens an app's log, again if it is open already, for the running loop."""
        return await self.backend(app_id).open(clock=self.clock)


class LogSuite:
    """The fixtures for every part of the suite."""

    @pytest.fixture
    async def log(self, harness: LogHarness) -> AsyncIterator[EventLog]:
        """The log of an empty app."""
        async with await harness.open() as log:
            yield log


async def read_all(log: EventLog, after: Cursor | None = None, *, limit: int = 1000) -> list[tuple[Position, AnyEntry]]:
    """All current entries after a cursor, by default from the start."""
    cursor = await log.start() if after is None else after
    found: list[tuple[Position, AnyEntry]] = []
    while (batch := await log.follow(cursor, limit=limit)).entries:
        assert len(batch.entries) <= limit
        found += batch.entries
        cursor = batch.cursor
    return found


async def ids(log: EventLog) -> list[str]:
    """The ids of all entries, in log order."""
    return [entry.id for _, entry in await read_all(log)]


async def append(log: EventLog, *entries: AnyEntry) -> Position:
    """Appends one part, which must be accepted."""
    (outcome,) = await log.append([entries])
    assert isinstance(outcome, Accepted), outcome
    return outcome.position


def assert_void(log: EventLog, outcome: Outcome) -> None:
    """Checks that the log refused a void part, if it can detect one at append."""
    assert isinstance(outcome, Refused) == log.refuses_void, outcome


def assert_stale(log: EventLog, outcome: Outcome) -> None:
    """Checks that the log refused a part with an old term, if it can detect one at append."""
    assert isinstance(outcome, Refused) == log.tells_stale, outcome


async def eventually(check: Callable[[], Awaitable[bool]]) -> None:
    """Waits until a check is true, for logs that update a projection after the append."""
    async with asyncio.timeout(PATIENCE):
        while not await check():  # noqa: ASYNC110 (a projection notifies nobody)
            await asyncio.sleep(0.005)
