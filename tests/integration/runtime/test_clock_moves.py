"""The wall clock moves back or forward by hours while runners are up."""

import time
from typing import Any

import pytest

from tests.integration.runtime.test_recovery import claim_and_vanish
from tests.support.apps import MakeApp, sibling
from tests.support.reading import entries_of_type
from tests.support.waiting import wait_until
from trigger_engine import AsyncTask, TriggerBuilder, TriggerEngine
from trigger_engine._client.connections import Connections
from trigger_engine._model.entries import Recovered, TriggerRetired, TriggerSuspended
from trigger_engine.backend._contract import RunnerFacts

pytestmark = pytest.mark.every_backend

HOUR = 3600.0
IDLE: dict[str, Any] = {"queues": ["nothing-waits-here"]}


class MovedClock:
    """The wall clock plus an offset in seconds."""

    def __init__(self) -> None:
        self.offset = 0.0

    def __call__(self) -> float:
        return time.time() + self.offset


def on_moved_clock(app: TriggerEngine) -> MovedClock:
    """Replaces the clock of an app that is not entered yet, and returns it."""
    clock = MovedClock()
    app._internals.connections = Connections(app._internals.connections.backend, clock)
    return clock


async def test_recovery_continues_when_the_clock_goes_back(make_app: MakeApp) -> None:
    app = make_app(**IDLE)
    clock = on_moved_clock(app)

    task = app.task(_nothing)
    async with app, app.runner():
        clock.offset -= 3 * HOUR
        await _lose_work(app, task, 1)


async def test_nothing_is_retired_when_the_clock_goes_forward(make_app: MakeApp) -> None:
    full = make_app()
    part = sibling(full, **IDLE)
    task = part.task(_nothing)
    full.task(task_id="gone", triggers=TriggerBuilder().on_event("a"))(_nothing)
    clock = on_moved_clock(part)
    async with full, full.runner():
        pass
    async with part, part.runner():
        await wait_until(lambda: entries_of_type(part, TriggerSuspended))
        clock.offset += 3 * HOUR
        for lost in (1, 2):
            await _lose_work(part, task, lost)
        assert await entries_of_type(part, TriggerRetired) == []


async def test_no_runner_is_lost_when_the_clock_goes_forward_by_days(make_app: MakeApp) -> None:
    app = make_app()
    clock = on_moved_clock(app)
    async with app:
        log = (await app._internals.connections.session()).log
        await log.heartbeat(_facts("one"), ttl=60.0)
        clock.offset += 48 * HOUR
        await log.heartbeat(_facts("another"), ttl=60.0)
        assert "one" in [row.facts.runner_id for row in await log.runners()]


async def _nothing() -> None: ...


async def _lose_work(app: TriggerEngine, task: AsyncTask[[], None], recoveries: int) -> None:
    """Loses an invocation with its runner, and waits until the leader has recovered this many."""
    await task()
    await claim_and_vanish(app)

    async def recovered() -> bool:
        return len(await entries_of_type(app, Recovered)) >= recoveries

    await wait_until(recovered)


def _facts(runner_id: str) -> RunnerFacts:
    now = time.time()
    return RunnerFacts(runner_id, "host", 1, now, now, "1", (), (), (), 1)
