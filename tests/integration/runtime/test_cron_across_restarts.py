"""A restart within twice the lease skips no ticks, whatever the catch-up policy."""

from datetime import UTC, datetime

import pytest

from tests.support.apps import on_memory
from tests.support.reading import entries_of_type
from tests.support.waiting import wait_until
from trigger_engine import TriggerBuilder, TriggerEngine
from trigger_engine._client.connections import Connections
from trigger_engine._model.entries import CronTicked
from trigger_engine.testing._clock import ManualClock

START = datetime(2025, 1, 1, tzinfo=UTC).timestamp()
LEASE = 1.0


def app_on(clock: ManualClock) -> TriggerEngine:
    app = on_memory(lease_ttl=LEASE)
    app._internals.connections = Connections(app._internals.connections.backend, clock)

    @app.task(triggers=TriggerBuilder().on_cron("* * * * * *", catch_up="skip"))
    async def each_second() -> None: ...

    return app


@pytest.mark.parametrize(("pause", "missed"), [(2, 0), (30, 29)], ids=["within twice the lease", "a longer break"])
async def test_ticks_missed_during_a_restart(pause: int, missed: int) -> None:
    clock = ManualClock(START)
    app = app_on(clock)
    async with app:
        async with app.runner():
            clock.move_to(START + 3)
            await wait_until(lambda: _ticked_until(app, START + 3))
        clock.move_to(START + 3 + pause)
        async with app.runner():
            clock.move_to(START + 5 + pause)
            await wait_until(lambda: _ticked_until(app, START + 5 + pause))
            ticks = {tick.scheduled_for for tick in await entries_of_type(app, CronTicked)}
    expected = {START + second for second in range(1, 6 + pause)}
    assert len(expected - ticks) == missed


async def _ticked_until(app: TriggerEngine, instant: float) -> bool:
    ticks = await entries_of_type(app, CronTicked)
    return bool(ticks) and ticks[-1].scheduled_for >= instant
