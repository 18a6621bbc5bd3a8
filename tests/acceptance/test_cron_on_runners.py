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
from trigger_engine.session import Connections
from trigger_engine.task import Task


def interval(ctx: CronContext) -> dict[str, Any]:
    return {"at": ctx.scheduled_for, "before": ctx.last_execution}


class Wall:
    """A clock that shows a time of the test's choice and runs on from there."""

    def __init__(self, shown: datetime) -> None:
        self.show(shown)

    def show(self, shown: datetime) -> None:
        self._offset = shown.timestamp() - time.time()

    def __call__(self) -> float:
        return time.time() + self._offset


@asynccontextmanager
async def at(wall: Wall, app: TriggerEngine, shown: datetime) -> AsyncIterator[Driven]:
    """A runner that begins at a time of the test's choice."""
    wall.show(shown)
    async with driven(app) as happened:
        await happened.settle()
        yield happened


def on_the_wall(app: TriggerEngine) -> Wall:
    wall = Wall(datetime(2026, 6, 1, 12, 10, tzinfo=UTC))
    app._connections = Connections(app._connections.backend, wall)
    return wall


async def test_a_schedule_of_seconds_fires_each_of_them_once_over_all_runners(make_app: MakeApp) -> None:
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


async def test_a_schedule_starts_its_task_soon_after_the_time(make_app: MakeApp) -> None:
    app = make_app()

    @app.task(triggers=TriggerBuilder().on_cron("* * * * * *").with_args_from_cron(interval))
    async def tick(at: datetime, before: datetime | None) -> float:
        return time.time() - at.timestamp()

    async with driven(app) as happened:
        await wait_until(lambda: happened.invocations(tick))
        await happened.settle()
        delay = (await happened.invocations(tick))[0].result
    assert 0.0 <= delay < 0.7


CATCH_UPS: list[tuple[dict[str, Any], list[int]]] = [
    ({}, [16]),
    ({"catch_up": "latest"}, [16]),
    ({"catch_up": "skip"}, []),
    ({"catch_up": "all"}, [14, 15, 16]),
    ({"catch_up": "all", "catch_up_window": timedelta(hours=2)}, [15, 16]),
    ({"catch_up": "latest", "catch_up_window": timedelta(minutes=20)}, []),
]


@pytest.mark.parametrize(("options", "caught_up"), CATCH_UPS)
async def test_what_becomes_of_times_that_no_runner_was_alive_for(
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


async def test_what_was_caught_up_is_not_caught_up_again(make_app: MakeApp) -> None:
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
