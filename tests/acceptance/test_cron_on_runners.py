"""Schedules on real runners: one tick per time over all of them, and what becomes of times that all have missed."""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.acceptance.driving import Driven, driven
from tests.support.apps import MakeApp
from tests.support.waiting import wait_until
from trigger_engine import CronContext, TriggerBuilder, TriggerEngine
from trigger_engine._client.connections import Connections
from trigger_engine._client.task import Task


def interval(ctx: CronContext) -> dict[str, Any]:
    return {"at": ctx.scheduled_for, "before": ctx.last_execution}


class Wall:
    """A clock that shows a time of the test's choice, and stands still or runs on from there."""

    def __init__(self, shown: datetime) -> None:
        self.start(shown)

    def start(self, shown: datetime) -> None:
        self._shown = shown.timestamp()
        self._started: float | None = time.time()

    def stop(self, shown: datetime) -> None:
        self._shown = shown.timestamp()
        self._started = None

    def __call__(self) -> float:
        return self._shown if self._started is None else self._shown + time.time() - self._started


@asynccontextmanager
async def at(wall: Wall, app: TriggerEngine, shown: datetime) -> AsyncIterator[Driven]:
    """A runner that begins at a time of the test's choice. However long it takes to start, it is up at that time."""
    wall.stop(shown)
    async with driven(app) as happened:
        await happened.settle()
        wall.start(shown)
        yield happened


def on_the_wall(app: TriggerEngine) -> Wall:
    wall = Wall(datetime(2026, 6, 1, 12, 10, tzinfo=UTC))
    app._internals.connections = Connections(app._internals.connections.backend, wall)
    return wall


async def test_every_second_fires_once_across_all_runners(make_app: MakeApp) -> None:
    app = make_app()

    @app.task(triggers=TriggerBuilder().on_cron("* * * * * *").with_args_from_cron(interval))
    async def tick(at: datetime, before: datetime | None) -> None:
        pass

    async with driven(app, runners=2) as happened:

        async def three_times() -> bool:
            return len(await happened.invocations(tick)) >= 3

        await wait_until(three_times)
        await happened.settle()
        times = [call["at"] for call in await happened.calls(tick)]
    assert times == [times[0] + timedelta(seconds=n) for n in range(len(times))]


async def test_task_starts_soon_after_its_scheduled_time(make_app: MakeApp) -> None:
    app = make_app()

    @app.task(triggers=TriggerBuilder().on_cron("* * * * * *").with_args_from_cron(interval))
    async def tick(at: datetime, before: datetime | None) -> float:
        return time.time() - at.timestamp()

    async with driven(app) as happened:

        async def delays() -> list[float]:
            return [one.result for one in await happened.invocations(tick) if one.status.is_final]

        async def one_was_soon() -> bool:
            # A busy machine delays some of them.
            return min(await delays(), default=1.0) < 0.5

        await wait_until(one_was_soon)
        assert min(await delays()) >= 0.0


CATCH_UPS: list[tuple[dict[str, Any], list[int]]] = [
    ({}, [16]),
    ({"catch_up": "latest"}, [16]),
    ({"catch_up": "skip"}, []),
    ({"catch_up": "all"}, [14, 15, 16]),
    ({"catch_up": "all", "catch_up_window": timedelta(hours=2)}, [15, 16]),
    ({"catch_up": "latest", "catch_up_window": timedelta(minutes=20)}, []),
]


@pytest.mark.parametrize(("options", "caught_up"), CATCH_UPS)
async def test_catch_up_policy_decides_about_times_without_a_runner(
    make_app: MakeApp, options: dict[str, Any], caught_up: list[int]
) -> None:
    app = make_app()
    wall = on_the_wall(app)

    @app.task(triggers=TriggerBuilder().on_cron("0 * * * *", **options).with_args_from_cron(interval))
    async def tick(at: datetime, before: datetime | None) -> None:
        pass

    async with app:
        async with at(wall, app, datetime(2026, 6, 1, 12, 59, 59, tzinfo=UTC)) as happened:
            await wait_until(lambda: happened.invocations(tick))
            await happened.settle()
        async with at(wall, app, datetime(2026, 6, 1, 16, 30, tzinfo=UTC)) as happened:
            hours = [call["at"].hour for call in await happened.calls(tick)]
    assert hours == [13, *caught_up]


async def test_missed_time_is_caught_up_only_once(make_app: MakeApp) -> None:
    app = make_app()
    wall = on_the_wall(app)

    @app.task(triggers=TriggerBuilder().on_cron("0 * * * *", catch_up="all").with_args_from_cron(interval))
    async def tick(at: datetime, before: datetime | None) -> None:
        pass

    calls: list[dict[str, Any]] = []
    async with app:
        for hour in (12, 14, 14, 15):
            async with at(wall, app, datetime(2026, 6, 1, hour, 30, tzinfo=UTC)) as happened:
                calls = await _in_order(happened, tick)
    one, two, three = (datetime(2026, 6, 1, hour, tzinfo=UTC) for hour in (13, 14, 15))
    assert calls == [{"at": one, "before": None}, {"at": two, "before": one}, {"at": three, "before": two}]


async def _in_order(happened: Driven, task: Task[Any, Any]) -> list[dict[str, Any]]:
    return sorted(await happened.calls(task), key=lambda call: str(call["at"]))
