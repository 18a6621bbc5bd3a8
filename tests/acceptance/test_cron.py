"""Schedules: on a clock that the test steers, and on the real one with real runners."""

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from tests.support.apps import on_memory
from trigger_engine import CronContext, TriggerBuilder, TriggerEngine
from trigger_engine.testing import TestEngine


def scheduled_time(ctx: CronContext) -> dict[str, Any]:
    return {"at": ctx.scheduled_for}


def interval(ctx: CronContext) -> dict[str, Any]:
    return {"at": ctx.scheduled_for, "before": ctx.last_execution}


def scheduled(expression: str, **options: Any) -> tuple[TriggerEngine, Any]:
    """An app with one task that runs on a schedule and gets the scheduled time."""
    app = on_memory()

    @app.task(triggers=TriggerBuilder().on_cron(expression, **options).with_args_from_cron(scheduled_time))
    async def tick(at: datetime) -> None:
        pass

    return app, tick


async def times_of(expression: str, start: datetime, delta: timedelta, **options: Any) -> list[str]:
    """When a schedule fires in a span of time: ISO, in the schedule's timezone."""
    app, tick = scheduled(expression, **options)
    async with TestEngine(app, start=start) as engine:
        await engine.advance(delta)
        zone = ZoneInfo(options.get("timezone", "UTC"))
        return [call["at"].astimezone(zone).isoformat(timespec="minutes") for call in engine.calls(tick)]


async def test_every_minute() -> None:
    app = on_memory()

    @app.task(triggers=TriggerBuilder().on_cron("* * * * *"))
    def every_minute() -> None:
        pass

    async with TestEngine(app) as engine:
        await engine.run_until_idle()
        assert engine.calls(every_minute) == []
        await engine.advance(seconds=59)
        assert engine.calls(every_minute) == []
        await engine.advance(seconds=1)
        assert engine.calls(every_minute) == [{}]
        await engine.advance(minutes=10)
        assert len(engine.calls(every_minute)) == 11


async def test_every_thirty_minutes_and_every_minute_side_by_side() -> None:
    app = on_memory()

    @app.task(triggers=TriggerBuilder().on_cron("* * * * *"))
    async def every_minute() -> None:
        pass

    @app.task(triggers=TriggerBuilder().on_cron("*/30 * * * *"))
    async def every_half_hour() -> None:
        pass

    async with TestEngine(app, start=datetime(2026, 5, 1, 8, 15, tzinfo=UTC)) as engine:
        await engine.advance(hours=2)
        assert len(engine.calls(every_minute)) == 120
        assert len(engine.calls(every_half_hour)) == 4


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("*/30 * * * *", ["2026-01-30T22:30+00:00", "2026-01-30T23:00+00:00", "2026-01-30T23:30+00:00"]),
        ("@hourly", ["2026-01-30T23:00+00:00", "2026-01-31T00:00+00:00", "2026-01-31T01:00+00:00"]),
        ("@daily", ["2026-01-31T00:00+00:00", "2026-02-01T00:00+00:00", "2026-02-02T00:00+00:00"]),
        ("0 12 L * *", ["2026-01-31T12:00+00:00", "2026-02-28T12:00+00:00", "2026-03-31T12:00+00:00"]),
        ("30 6 * * mon-fri", ["2026-02-02T06:30+00:00", "2026-02-03T06:30+00:00", "2026-02-04T06:30+00:00"]),
        ("0 0 29 2 *", ["2028-02-29T00:00+00:00", "2032-02-29T00:00+00:00", "2036-02-29T00:00+00:00"]),
        ("15,45 10 1 jan,jul *", ["2026-07-01T10:15+00:00", "2026-07-01T10:45+00:00", "2027-01-01T10:15+00:00"]),
    ],
)
async def test_the_first_times_of_a_schedule(expression: str, expected: list[str]) -> None:
    start = datetime(2026, 1, 30, 22, 10, tzinfo=UTC)
    last = datetime.fromisoformat(expected[-1])
    assert await times_of(expression, start, last - start) == expected


async def test_six_fields_begin_with_the_seconds() -> None:
    app, tick = scheduled("*/20 * * * * *")
    async with TestEngine(app, start=datetime(2026, 1, 1, 0, 0, 30, tzinfo=UTC)) as engine:
        await engine.advance(minutes=1)
        assert [call["at"].second for call in engine.calls(tick)] == [40, 0, 20]


async def test_a_schedule_follows_the_wall_clock_of_its_timezone() -> None:
    start = datetime(2026, 1, 14, 12, tzinfo=UTC)
    assert await times_of("30 7 * * *", start, timedelta(days=1), timezone="Europe/Helsinki") == [
        "2026-01-15T07:30+02:00"
    ]
    start = datetime(2026, 7, 14, 12, tzinfo=UTC)
    assert await times_of("30 7 * * *", start, timedelta(days=1), timezone="Europe/Helsinki") == [
        "2026-07-15T07:30+03:00"
    ]


async def test_skipped_local_time_fires_at_the_next_existing_one() -> None:
    found = await times_of("30 2 * * *", datetime(2026, 3, 28, tzinfo=UTC), timedelta(days=3), timezone="Europe/Berlin")
    assert found == ["2026-03-28T02:30+01:00", "2026-03-29T03:00+02:00", "2026-03-30T02:30+02:00"]


async def test_repeated_local_time_fires_once() -> None:
    found = await times_of(
        "30 2 * * *", datetime(2026, 10, 24, tzinfo=UTC), timedelta(days=3), timezone="Europe/Berlin"
    )
    assert [time[:16] for time in found] == ["2026-10-24T02:30", "2026-10-25T02:30", "2026-10-26T02:30"]


async def test_timezones_can_differ_from_task_to_task() -> None:
    app = on_memory()

    @app.task(triggers=TriggerBuilder().on_cron("0 9 * * *", timezone="Asia/Tokyo").with_args_from_cron(scheduled_time))
    async def in_tokyo(at: datetime) -> None:
        pass

    @app.task(
        triggers=TriggerBuilder().on_cron("0 9 * * *", timezone="America/Lima").with_args_from_cron(scheduled_time)
    )
    async def in_lima(at: datetime) -> None:
        pass

    async with TestEngine(app, start=datetime(2026, 6, 1, 12, tzinfo=UTC)) as engine:
        await engine.advance(days=1)
        assert [call["at"] for call in engine.calls(in_tokyo)] == [datetime(2026, 6, 2, 0, tzinfo=UTC)]
        assert [call["at"] for call in engine.calls(in_lima)] == [datetime(2026, 6, 1, 14, tzinfo=UTC)]


async def test_cron_context_has_the_scheduled_and_the_previous_time() -> None:
    app = on_memory()

    @app.task(triggers=TriggerBuilder().on_cron("@hourly").with_args_from_cron(interval))
    async def report(at: datetime, before: datetime | None) -> None:
        pass

    async with TestEngine(app, start=datetime(2026, 6, 1, 12, 30, tzinfo=UTC)) as engine:
        await engine.advance(hours=3)
        one, two, three = (datetime(2026, 6, 1, hour, tzinfo=UTC) for hour in (13, 14, 15))
        assert engine.calls(report) == [
            {"at": one, "before": None},
            {"at": two, "before": one},
            {"at": three, "before": two},
        ]


async def test_tasks_with_the_same_schedule_all_run() -> None:
    app = on_memory()

    @app.task(triggers=TriggerBuilder().on_cron("@daily"))
    async def one() -> None:
        pass

    @app.task(triggers=TriggerBuilder().on_cron("@daily"))
    async def other() -> None:
        pass

    async with TestEngine(app) as engine:
        await engine.advance(days=2)
        assert len(engine.calls(one)) == len(engine.calls(other)) == 2
