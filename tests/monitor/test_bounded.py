"""The cost of a page (SQLite statements and steps) does not grow with the number of events."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from benchmarks.filled_history import PATHS, filled_monitor, path_of
from benchmarks.monitor import load
from trigger_engine._monitor.application import Monitor
from trigger_engine._readmodel.history import History

MAX_STATEMENTS = 160
STEP = 100
MAX_SAMPLE_STEPS = 400_000


class Counts:
    """The work done by SQLite."""

    def __init__(self) -> None:
        self.statements: list[str] = []
        self.steps = 0

    def step(self) -> int:
        self.steps += STEP
        return 0


@asynccontextmanager
async def counting(history: History) -> AsyncIterator[Counts]:
    """Counts the work of queries of the read model."""
    counts = Counts()
    connection = history._database._store.connection  # type: ignore[union-attr]
    connection.set_trace_callback(counts.statements.append)
    connection.set_progress_handler(counts.step, STEP)
    yield counts
    connection.set_trace_callback(None)
    connection.set_progress_handler(None, 0)


async def costs(monitor: Monitor, history: History, events: int) -> dict[str, Counts]:
    """Returns the cost of each page."""
    found = {}
    for name in PATHS:
        async with counting(history) as counts:
            await load(monitor, path_of(name, events))
        found[name] = counts
    return found


@pytest.mark.slow
@pytest.mark.timeout(600)
async def test_pages_cost_the_same_at_ten_thousand_and_at_200_000_events(tmp_path: Path) -> None:
    async with filled_monitor(tmp_path / "small", 10_000) as (monitor, history):
        small = await costs(monitor, history, 10_000)
    async with filled_monitor(tmp_path / "large", 200_000) as (monitor, history):
        large = await costs(monitor, history, 200_000)
    for name in PATHS:
        assert len(large[name].statements) <= MAX_STATEMENTS, name
        assert len(large[name].statements) <= len(small[name].statements) * 2 + 5, name
        # A timeline samples its window, so its cost has a fixed limit.
        most = MAX_SAMPLE_STEPS if name.startswith("timeline") else small[name].steps * 3 + 30_000
        assert large[name].steps <= most, (name, small[name].steps, large[name].steps)


async def test_generated_history_is_like_a_projected_one(tmp_path: Path) -> None:
    async with filled_monitor(tmp_path, 1_000) as (_, history):
        overview = await history.overview()
        assert (overview.events, overview.triggered, overview.trigger_runs) == (1_000, 600, 600)
        event = (await history.events(triggered=True, limit=1))[0]
        run = await history.trigger_run(event.trigger_run_ids[0])
        assert run.participants[0].entry_id == event.event_id
        invocation = await history.invocation(event.invocation_ids[0])
        assert (invocation.trigger_run_id, invocation.status) == (run.run_id, "success")
        assert [one.status for one in invocation.statuses] == ["registered", "pending", "running", "success"]
        assert event.valid_condition_ids
