"""What the conformance suite must be told about a backend, and what its tests share."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, ClassVar

import pytest

from trigger_engine.entries.facts import AnyEntry, Position
from trigger_engine.log.contract import Accepted, Backend, Bookmark, EventLog, Outcome, Refused

PATIENCE = 10.0
"""Seconds after which a test gives up on what should come within milliseconds."""


class LogHarness(ABC):
    """One empty store of the backend under test. A test module gives it as the fixture `harness`."""

    clock: Callable[[], float]
    """The clock that every log of this harness is opened with."""
    steered: ClassVar[bool] = True
    """False where `pass_time` has to wait, because the store has a clock of its own."""
    moment: ClassVar[float] = 0.2
    """Seconds that some calls take no longer than, and that a test lets pass."""
    trims: ClassVar[bool] = True
    """False where retention removes whole segments at times of the store's own choosing."""
    can_restore: ClassVar[bool] = True
    """False where an older state of the store cannot be brought back, by `save` and `restore`."""

    @abstractmethod
    def backend(self, app_id: str) -> Backend:
        """A backend for an app in the store, as another part of the program would make it: all share the data."""

    @abstractmethod
    async def pass_time(self, seconds: float) -> None:
        """Lets the clocks by which leases, heartbeats and `not_before` are judged go on."""

    async def save(self) -> Any:
        """A copy of the whole store, for `restore`."""
        raise NotImplementedError

    async def restore(self, saved: Any) -> None:
        """Puts the store back to a copy, as an administrator would while programs run."""
        raise NotImplementedError

    async def open(self, app_id: str = "shop") -> EventLog:
        """Opens an app's log once more, for the running loop."""
        return await self.backend(app_id).open(clock=self.clock)


class LogSuite:
    """The fixtures of every part of the suite."""

    @pytest.fixture
    async def log(self, harness: LogHarness) -> AsyncIterator[EventLog]:
        """The log of an empty app."""
        async with await harness.open() as log:
            yield log


async def read_all(
    log: EventLog, after: Bookmark | None = None, *, limit: int = 1000
) -> list[tuple[Position, AnyEntry]]:
    """Every entry after a bookmark, or from the start, as it stands now."""
    bookmark = await log.start() if after is None else after
    found: list[tuple[Position, AnyEntry]] = []
    while (batch := await log.follow(bookmark, limit=limit)).entries:
        assert len(batch.entries) <= limit
        found += batch.entries
        bookmark = batch.bookmark
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
    """A void part is refused by logs that can tell at append."""
    assert isinstance(outcome, Refused) == log.refuses_void, outcome


def assert_stale(log: EventLog, outcome: Outcome) -> None:
    """A part that is void by its term is refused by logs that can tell at least that."""
    assert isinstance(outcome, Refused) == log.tells_stale, outcome


async def eventually(check: Callable[[], Awaitable[bool]]) -> None:
    """Waits until a projection has followed; a log that does all in one step meets the check at once."""
    async with asyncio.timeout(PATIENCE):
        while not await check():  # noqa: ASYNC110 (a projection rings no bell)
            await asyncio.sleep(0.005)
