"""The clock that a test steers."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.support.apps import on_memory
from trigger_engine import CronContext, TriggerBuilder, current_invocation
from trigger_engine.testing import TestEngine


def scheduled(context: CronContext) -> dict[str, Any]:
    return {"at": context.scheduled_for}


async def test_clock_moves_only_on_request() -> None:
    app = on_memory()
    start = datetime(2024, 2, 28, 12, tzinfo=UTC)
    async with TestEngine(app, start=start) as engine:
        assert engine.now == start
        await engine.run_until_idle()
        assert engine.now == start
        await engine.advance(hours=12)
        await engine.advance(timedelta(days=1))
        assert engine.now == datetime(2024, 3, 1, tzinfo=UTC)
        event_id = await app.emit_event("a")
        async with app.history() as history:
            event = await history.event(event_id)
        assert event is not None
        assert event.timestamp == engine.now


async def test_delays_retries_timeouts_and_cron_happen_at_their_times() -> None:
    app = on_memory(retry_backoff=60.0, retry_backoff_max=60.0)
    happened: list[tuple[str, float]] = []
    start = datetime(2025, 1, 1, tzinfo=UTC)

    def note(what: str) -> None:
        happened.append((what, (engine.now - start).total_seconds()))

    @app.task(triggers=TriggerBuilder().on_cron("*/10 * * * *").with_args_from_cron(scheduled))
    async def every_ten(at: datetime) -> None:
        assert at == engine.now
        note("cron")

    @app.task
    async def delayed() -> None:
        note("delayed")

    @app.task(max_retries=1)
    async def flaky() -> None:
        current = current_invocation()
        assert current is not None
        note(f"attempt {current.attempt}")
        if current.attempt == 1:
            raise ValueError("again")

    @app.task(timeout=900)
    async def endless() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            note("stopped")

    async with TestEngine(app, allow_failures=True, patience=0.05) as engine:
        await delayed.options(delay=300)()
        await flaky()
        await endless()
        await engine.advance(minutes=31)
    names = [name for name, _ in happened]
    assert names == ["attempt 1", "attempt 2", "delayed", "cron", "stopped", "cron", "cron"]
    times = dict(happened[:5])
    assert 45 <= times["attempt 2"] <= 60
    assert (times["delayed"], times["cron"], times["stopped"]) == (300, 600, 900)
    assert [time for name, time in happened if name == "cron"] == [600, 1200, 1800]


async def test_schedule_fires_once_for_each_time_passed() -> None:
    app = on_memory()

    @app.task(triggers=TriggerBuilder().on_cron("0 9 * * 1-5", timezone="Europe/Vienna").with_args_from_cron(scheduled))
    async def report(at: datetime) -> None:
        pass

    async with TestEngine(app) as engine:
        await engine.advance(days=7)
        times = [call["at"] for call in engine.calls(report)]
    assert times == [datetime(2025, 1, day, 8, tzinfo=UTC) for day in (1, 2, 3, 6, 7)]


async def test_clock_refuses_to_go_back() -> None:
    app = on_memory()
    async with TestEngine(app) as engine:
        before = engine.now
        with pytest.raises(ValueError, match="forward"):
            await engine.advance(minutes=-1)
        assert engine.now == before
