"""The wall clock of a host is set back or forward by hours while runners are up."""

import time
from typing import Any

from tests.runner.test_recovery import claim_and_vanish
from tests.support.apps import MakeApp, sibling
from tests.support.reading import entries_of_type
from tests.support.waiting import wait_until
from trigger_engine import AsyncTask, TriggerBuilder, TriggerEngine
from trigger_engine.entries.facts import Recovered, TriggerRetired, TriggerSuspended
from trigger_engine.log.contract import RunnerFacts
from trigger_engine.session import Connections

HOUR = 3600.0
IDLE: dict[str, Any] = {"queues": ["nothing-waits-here"]}


class MovedClock:
    """The wall clock, some seconds off."""

    def __init__(self) -> None:
        self.offset = 0.0

    def __call__(self) -> float:
        return time.time() + self.offset


def on_moved_clock(app: TriggerEngine) -> MovedClock:
    """Gives an app a clock that a test moves; before the app is entered."""
    clock = MovedClock()
    app._connections = Connections(app._connections.backend, clock)
    return clock


async def test_a_clock_that_goes_back_delays_no_recovery(make_app: MakeApp) -> None:
    app = make_app(**IDLE)
    clock = on_moved_clock(app)

    task = app.task(_nothing)
    async with app, app.runner():
        clock.offset -= 3 * HOUR
        await _lose_work(app, task, 1)


async def test_a_clock_that_goes_forward_retires_nothing(make_app: MakeApp) -> None:
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


async def test_a_clock_that_goes_forward_by_days_takes_no_runner_for_lost(make_app: MakeApp) -> None:
    app = make_app()
    clock = on_moved_clock(app)
    async with app:
        log = (await app._connections.session()).log
        await log.heartbeat(_facts("one"), ttl=60.0)
        clock.offset += 48 * HOUR
        await log.heartbeat(_facts("another"), ttl=60.0)
        assert "one" in [row.facts.runner_id for row in await log.runners()]


async def _nothing() -> None: ...


async def _lose_work(app: TriggerEngine, task: AsyncTask[[], None], recoveries: int) -> None:
    """Loses an invocation with its runner, and waits until so many were recovered: whoever cares has been at work."""
    await task()
    await claim_and_vanish(app)

    async def recovered() -> bool:
        return len(await entries_of_type(app, Recovered)) >= recoveries

    await wait_until(recovered)


def _facts(runner_id: str) -> RunnerFacts:
    now = time.time()
    return RunnerFacts(runner_id, "host", 1, now, now, "1", (), (), (), 1)
