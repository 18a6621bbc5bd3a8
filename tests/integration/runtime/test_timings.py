"""Runners report the durations of filters and providers."""

import time
from typing import Any

import pytest

from tests.support.apps import MakeApp
from tests.support.waiting import wait_until
from trigger_engine import EventContext, TriggerBuilder
from trigger_engine._readmodel.records import FunctionRecord
from trigger_engine._runtime.timings import Timings


def is_slow(payload: dict[str, Any]) -> bool:
    time.sleep(0.02)
    return bool(payload["wanted"])


def quick_arguments(ctx: EventContext) -> dict[str, Any]:
    return {"wanted": ctx.payload["wanted"]}


async def test_heartbeats_report_the_slowest_functions(make_app: MakeApp) -> None:
    app = make_app()

    @app.task(triggers=TriggerBuilder().on_event("go", is_slow).with_args_from_event(quick_arguments))
    async def react(wanted: bool) -> None: ...

    async with app, app.runner(), app.history() as history:
        for wanted in (True, False, True):
            await app.emit_event("go", {"wanted": wanted})

        async def reported() -> tuple[FunctionRecord, ...]:
            (runner,) = await history.runners()
            return runner.functions if sum(one.calls for one in runner.functions) == 5 else ()

        functions = {one.name.rpartition(".")[2]: one for one in await wait_until(reported)}
        slow, quick = functions["is_slow"], functions["quick_arguments"]
        assert (slow.calls, quick.calls) == (3, 2)
        assert slow.longest >= slow.mean >= 0.02
        assert quick.longest >= quick.mean > 0


def test_a_call_that_raises_is_measured() -> None:
    timings = Timings()
    with pytest.raises(ZeroDivisionError):
        timings.call("fails", lambda value: 1 / value, 0)
    (one,) = timings.slowest()
    assert (one.name, one.calls) == ("fails", 1)


def test_only_the_slowest_functions_are_reported() -> None:
    timings = Timings()
    for number in range(50):
        timings._record(f"f{number}", number)
    assert [one.name for one in timings.slowest()] == [f"f{number}" for number in range(49, 29, -1)]
