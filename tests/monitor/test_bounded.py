"""What a page costs does not depend on how much has happened: statements and steps of SQLite, at a million events."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from benchmarks.filled_history import PATHS, filled_monitor, path_of
from benchmarks.monitor import load
from trigger_engine.history import History
from trigger_engine.monitor import Monitor

MOST_STATEMENTS = 160
STEP = 100
MOST_OF_A_SAMPLE = 400_000


class Counts:
    """What SQLite has done."""

    def __init__(self) -> None:
        self.statements: list[str] = []
        self.steps = 0

    def step(self) -> int:
        self.steps += STEP
        return 0


@asynccontextmanager
async def counting(history: History) -> AsyncIterator[Counts]:
    """Counts what is asked of the read model meanwhile."""
    counts = Counts()
    connection = history._database._store.connection  # type: ignore[union-attr]
    connection.set_trace_callback(counts.statements.append)
    connection.set_progress_handler(counts.step, STEP)
    yield counts
    connection.set_trace_callback(None)
    connection.set_progress_handler(None, 0)


async def costs(monitor: Monitor, history: History, events: int) -> dict[str, Counts]:
    """What each page costs."""
    found = {}
    for name in PATHS:
        async with counting(history) as counts:
            await load(monitor, path_of(name, events))
        found[name] = counts
    return found


@pytest.mark.slow
@pytest.mark.timeout(600)
async def test_pages_cost_the_same_at_ten_thousand_and_at_a_million_events(tmp_path: Path) -> None:
    async with filled_monitor(tmp_path / "small", 10_000) as (monitor, history):
        small = await costs(monitor, history, 10_000)
    async with filled_monitor(tmp_path / "large", 1_000_000) as (monitor, history):
        large = await costs(monitor, history, 1_000_000)
    for name in PATHS:
        assert len(large[name].statements) <= MOST_STATEMENTS, name
        assert len(large[name].statements) <= len(small[name].statements) * 2 + 5, name
        # A timeline samples its window: a short one costs less, a busy one never more than this.
        most = MOST_OF_A_SAMPLE if name.startswith("timeline") else small[name].steps * 3 + 30_000
        assert large[name].steps <= most, (name, small[name].steps, large[name].steps)


async def test_a_filled_history_is_as_a_fold_would_make_it(tmp_path: Path) -> None:
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
