"""Several conditions on the task that reacts: AND, OR, and lists of independent triggers."""

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.acceptance.driving import driven
from tests.support.apps import MakeApp, on_memory
from tests.support.reading import is_running
from tests.support.waiting import wait_until
from trigger_engine import (
    CronContext,
    EventContext,
    InvocationStatus,
    ResultContext,
    StatusContext,
    TriggerBuilder,
    TriggerContext,
)
from trigger_engine.testing import TestEngine


def is_done(result: dict[str, Any]) -> bool:
    return result.get("done", False) is True


def is_even(arguments: dict[str, Any]) -> bool:
    return bool(arguments["number"] % 2 == 0)


def is_big(result: int) -> bool:
    return result > 100


def notice_of(ctx: ResultContext) -> dict[str, Any]:
    return {"result": ctx.result, "level": "good"}


def result_of(ctx: ResultContext) -> dict[str, Any]:
    return {"number": ctx.result}


def number_of(ctx: EventContext) -> dict[str, Any]:
    return {"number": ctx.payload["n"]}


def hour_of(ctx: CronContext) -> dict[str, Any]:
    return {"number": ctx.scheduled_for.hour}


def everything(ctx: TriggerContext) -> dict[str, Any]:
    told: list[Any] = []
    for one in ctx.contexts:
        if isinstance(one, EventContext):
            told.append(f"{one.event_code}{one.payload.get('n', '')}")
        elif isinstance(one, ResultContext):
            told.append(f"result {one.result}")
        elif isinstance(one, CronContext):
            told.append(f"cron {one.scheduled_for:%H:%M}")
        elif isinstance(one, StatusContext):
            told.append(str(one.status))
    return {"told": told}


async def test_the_reacting_task_waits_for_a_status_and_a_result(make_app: MakeApp) -> None:
    app = make_app()

    @app.task
    def process(data: dict[str, Any]) -> dict[str, Any]:
        return {"done": data.get("good", False), "data": data}

    @app.task(
        triggers=TriggerBuilder()
        .on_status(process, statuses=[InvocationStatus.SUCCESS])
        .on_result(process, filter_result=is_done)
        .with_args_from_result(notice_of)
        .with_logic("and")
    )
    def notify(result: dict[str, Any], level: str = "info") -> str:
        return f"{level}: {result['data']['good']}"

    async with driven(app) as happened:
        await process({"good": True})
        await process({"good": False})
        await process({})
        await happened.settle()
        (notified,) = await happened.invocations(notify)
        assert notified.result == "good: True"
        (run,) = await happened.runs()
        assert run.logic == "and"
        assert {one.kind for one in run.participants} == {"status", "result"}


async def test_and_is_the_default_and_fires_for_each_invocation_that_meets_all_conditions(make_app: MakeApp) -> None:
    app = make_app()

    @app.task
    async def double(number: int) -> int:
        return number * 2

    both = TriggerBuilder().on_status(double, call_arguments=is_even).on_result(double, is_big)

    @app.task(triggers=both.with_args_from_result(result_of))
    async def react(number: int) -> None:
        pass

    async with driven(app) as happened:
        for number in (2, 51, 60, 99, 100, 1):
            await double(number)
        await happened.settle()
        assert sorted(call["number"] for call in await happened.calls(react)) == [120, 200]


async def test_the_status_of_one_call_never_meets_the_result_of_another(make_app: MakeApp) -> None:
    app = make_app()
    go_on = asyncio.Event()

    @app.task
    async def work(number: int) -> int:
        if number == 2:
            await go_on.wait()
        return number

    @app.task(triggers=TriggerBuilder().on_status(work, "RUNNING", {"number": 2}).on_result(work, 1))
    async def never() -> None:
        pass

    @app.task(triggers=TriggerBuilder().on_status(work, "RUNNING", {"number": 2}).on_result(work, 2))
    async def once() -> None:
        pass

    async with driven(app) as happened:
        waiting = await work(2)
        await wait_until(lambda: is_running(waiting))
        await (await work(1)).result(timeout=60)
        go_on.set()
        await happened.settle()
        assert [await happened.count(task) for task in (never, once)] == [0, 1]


async def test_conditions_on_one_task_and_an_event_are_two_groups(make_app: MakeApp) -> None:
    app = make_app()

    @app.task
    async def work(number: int) -> int:
        return number

    @app.task(
        triggers=TriggerBuilder()
        .on_status(work, call_arguments=is_even)
        .on_result(work, is_big)
        .on_event("go")
        .with_args_from_trigger_context(everything)
    )
    async def react(told: list[str]) -> None:
        pass

    async with driven(app) as happened:
        for number in (2, 101, 102):
            await work(number)
            await happened.settle()
        assert await happened.count(react) == 0
        await app.emit_event("go")
        await happened.settle()
        (call,) = await happened.calls(react)
        assert sorted(call["told"]) == ["go", "result 102", "success"]


async def test_and_across_sources_consumes_everything_collected(make_app: MakeApp) -> None:
    app = make_app()

    @app.task
    async def pack(number: int) -> int:
        return number

    @app.task(
        triggers=TriggerBuilder()
        .on_any_result(pack)
        .on_event("truck")
        .on_event("driver")
        .with_args_from_trigger_context(everything)
    )
    async def load(told: list[str]) -> None:
        pass

    async with driven(app) as happened:
        for number in range(5):
            await (await pack(number)).result(timeout=60)
        await app.emit_event("truck", {"n": 1})
        await app.emit_event("truck", {"n": 2})
        await happened.settle()
        assert await happened.count(load) == 0
        await app.emit_event("driver")
        await happened.settle()
        (call,) = await happened.calls(load)
        assert call["told"] == [*(f"result {number}" for number in range(5)), "truck1", "truck2", "driver"]
        (run,) = await happened.runs()
        assert len(run.participants) == 8

        await app.emit_events([("driver", None), ("truck", {"n": 3})])
        await happened.settle()
        assert await happened.count(load) == 1, "it began empty again"
        await pack(9)
        await happened.settle()
        assert (await happened.calls(load))[1] == {"told": ["driver", "truck3", "result 9"]}


async def test_partial_and_survives_a_change_of_runners(make_app: MakeApp) -> None:
    app = make_app()

    @app.task(
        triggers=TriggerBuilder().on_event("a").on_event("b").on_event("c").with_args_from_trigger_context(everything)
    )
    async def gather(told: list[str]) -> None:
        pass

    async with app:
        for code in ("a", "b"):
            async with driven(app) as happened:
                await app.emit_event(code, {"n": 1})
                await happened.settle()
            await app.emit_event(code, {"n": 2})
        async with driven(app) as happened:
            await app.emit_event("c")
            await happened.settle()
            assert await happened.calls(gather) == [{"told": ["a1", "a2", "b1", "b2", "c"]}]


async def test_one_event_may_satisfy_two_conditions_of_an_and(make_app: MakeApp) -> None:
    app = make_app()

    @app.task(triggers=TriggerBuilder().on_event("login", {"role": "admin"}).on_event("login", {"from": "abroad"}))
    async def alarm() -> None:
        pass

    async with driven(app) as happened:
        await app.emit_event("login", {"role": "admin"})
        await happened.settle()
        assert await happened.count(alarm) == 0
        await app.emit_event("login", {"role": "admin", "from": "abroad"})
        await happened.settle()
        assert await happened.count(alarm) == 1


async def test_or_fires_once_for_each_entry_that_meets_any_condition(make_app: MakeApp) -> None:
    app = make_app()

    @app.task
    async def work(number: int) -> int:
        return number

    @app.task(
        triggers=TriggerBuilder()
        .on_event("login", {"role": "admin"})
        .on_event("login", {"from": "abroad"})
        .on_status(work)
        .on_result(work, 1)
        .with_logic("or")
    )
    async def react() -> None:
        pass

    async with driven(app) as happened:
        await app.emit_event("login", {"role": "admin", "from": "abroad"})
        await app.emit_event("login", {"role": "admin"})
        await app.emit_event("login", {})
        await work(1)
        await work(2)
        await happened.settle()
        assert await happened.count(react) == 4


async def test_and_waits_for_both_tasks_to_succeed(make_app: MakeApp) -> None:
    app = make_app()

    @app.task
    async def left(number: int) -> int:
        return number

    @app.task
    async def right(number: int) -> int:
        return 100 // number

    @app.task(triggers=TriggerBuilder().on_status(left).on_status(right).with_args_from_trigger_context(everything))
    async def join(told: list[str]) -> None:
        pass

    async with driven(app) as happened:
        await left(1)
        await right(0)
        await happened.settle()
        assert await happened.count(join) == 0
        await right(5)
        await happened.settle()
        assert await happened.count(join) == 1


async def test_a_provider_of_an_and_gets_the_newest_of_its_kind(make_app: MakeApp) -> None:
    app = make_app()

    @app.task(triggers=TriggerBuilder().on_event("a").on_event("b").with_args_from_event(number_of))
    async def react(number: int) -> None:
        pass

    async with driven(app) as happened:
        for code, number in (("b", 1), ("a", 2), ("a", 3), ("b", 4)):
            await app.emit_event(code, {"n": number})
        await happened.settle()
        assert await happened.calls(react) == [{"number": 2}, {"number": 4}]


async def test_each_trigger_of_a_list_has_its_own_arguments() -> None:
    app = on_memory()

    @app.task(
        triggers=[
            TriggerBuilder().on_cron("@hourly").with_args_from_cron(hour_of),
            TriggerBuilder().on_event("wanted").with_args_from_event(number_of),
            TriggerBuilder().on_event("usual").with_args_static({"number": 0}),
        ]
    )
    async def refresh(number: int) -> None:
        pass

    async with TestEngine(app, start=datetime(2026, 6, 1, 11, 30, tzinfo=UTC)) as engine:
        await app.emit_event("wanted", {"n": 77})
        await app.emit_event("usual")
        await engine.advance(hours=1)
        assert engine.calls(refresh) == [{"number": 77}, {"number": 0}, {"number": 12}]
        assert len({run.trigger_id for run in engine.runs(refresh)}) == 3


async def test_cron_condition_can_be_part_of_an_and() -> None:
    app = on_memory()

    @app.task(triggers=TriggerBuilder().on_cron("@hourly").on_event("paid").with_args_from_trigger_context(everything))
    async def settle_accounts(told: list[str]) -> None:
        pass

    async with TestEngine(app, start=datetime(2026, 6, 1, 11, 30, tzinfo=UTC)) as engine:
        await engine.advance(hours=2)
        assert engine.calls(settle_accounts) == []
        await app.emit_event("paid", {"n": 1})
        await engine.run_until_idle()
        assert engine.calls(settle_accounts) == [{"told": ["cron 12:00", "cron 13:00", "paid1"]}]
        await app.emit_event("paid", {"n": 2})
        await engine.advance(hours=1)
        assert engine.calls(settle_accounts)[1:] == [{"told": ["paid2", "cron 14:00"]}]


@pytest.mark.parametrize("written", ["and", "AND", "And", "or", "OR"])
async def test_the_logic_is_named_in_any_case(make_app: MakeApp, written: str) -> None:
    app = make_app()

    @app.task(triggers=TriggerBuilder().on_event("a").on_event("b").with_logic(written))
    async def react() -> None:
        pass

    async with driven(app) as happened:
        await app.emit_event("a")
        await app.emit_event("b")
        await happened.settle()
        assert await happened.count(react) == (1 if written.lower() == "and" else 2)
