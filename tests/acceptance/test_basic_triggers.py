"""A task that reacts to another task: the rule stands on the one that reacts, the caller of the other knows nothing."""

import threading
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.driving import declare_marker, driven
from tests.support.apps import MakeApp, on_sqlite, sibling
from tests.support.waiting import wait_until
from trigger_engine import (
    EventContext,
    InvocationStatus,
    ResultContext,
    TriggerBuilder,
    UnknownTask,
    current_invocation,
)


def loaf_of(ctx: ResultContext) -> dict[str, Any]:
    return {"loaf": ctx.result}


def number_of(ctx: EventContext) -> dict[str, Any]:
    return {"number": ctx.payload["number"]}


async def test_a_task_runs_when_another_has_succeeded(make_app: MakeApp) -> None:
    app = make_app()

    @app.task
    def bake(kilos: int) -> str:
        return f"a loaf of {kilos} kg"

    @app.task(triggers=TriggerBuilder().on_status(bake, statuses=[InvocationStatus.SUCCESS]))
    def ring_the_notifier() -> str:
        return "fresh bread"

    async with driven(app) as happened:
        invocation = await bake(2)
        assert await invocation.result(timeout=60) == "a loaf of 2 kg"
        await happened.settle()
        (rung,) = await happened.invocations(ring_the_notifier)
        assert (rung.status, rung.result, dict(rung.arguments)) == (InvocationStatus.SUCCESS, "fresh bread", {})
        (run,) = await happened.runs()
        assert run.invocation_id == rung.invocation_id
        assert [one.invocation_id for one in run.participants] == [invocation.invocation_id]


async def test_every_invocation_starts_every_task_that_reacts_to_it(make_app: MakeApp) -> None:
    app = make_app()

    @app.task
    async def bake(kilos: int) -> None:
        if kilos > 3:
            raise ValueError("the oven is too small")

    @app.task(triggers=TriggerBuilder().on_status(bake))
    async def ring_the_notifier() -> None:
        pass

    @app.task(triggers=TriggerBuilder().on_status(bake))
    def write_it_down() -> None:
        pass

    @app.task
    async def unrelated() -> None:
        pass

    async with driven(app) as happened:
        for kilos in (1, 2, 3, 4):
            await bake(kilos)
        await happened.settle()
        assert [await happened.count(task) for task in (ring_the_notifier, write_it_down)] == [3, 3]
        assert await happened.count(unrelated) == 0


async def test_reactions_make_a_chain_of_any_kind_of_task(make_app: MakeApp) -> None:
    app = make_app()
    depths: dict[str, int] = {}

    def note() -> None:
        current = current_invocation()
        assert current is not None
        depths[current.task_id.rpartition(".")[2]] = current.depth

    @app.task
    async def knead(loaf: str) -> str:
        note()
        return f"kneaded {loaf}"

    @app.task(triggers=TriggerBuilder().on_any_result(knead).with_args_from_result(loaf_of))
    def bake(loaf: str) -> str:
        note()
        assert threading.current_thread() is not threading.main_thread()
        return f"baked {loaf}"

    @app.task(triggers=TriggerBuilder().on_any_result(bake).with_args_from_result(loaf_of))
    async def sell(loaf: str) -> str:
        note()
        return f"sold {loaf}"

    async with driven(app) as happened:
        await knead("rye")
        await happened.settle()
        (sold,) = await happened.invocations(sell)
        assert sold.result == "sold baked kneaded rye"
    assert depths == {"knead": 0, "bake": 1, "sell": 2}


async def test_tasks_can_name_each_other_by_their_ids(make_app: MakeApp) -> None:
    app = make_app()

    @app.task(task_id="bakery.ping", triggers=TriggerBuilder().on_status("bakery.pong", call_arguments={"left": 1}))
    async def ping(left: int = 0) -> None:
        pass

    @app.task(task_id="bakery.pong", triggers=TriggerBuilder().on_status("bakery.ping", call_arguments={"left": 2}))
    async def pong(left: int = 1) -> None:
        pass

    async with driven(app) as happened:
        await ping(2)
        await happened.settle()
        assert await happened.calls(ping) == [{"left": 2}, {"left": 0}]
        assert await happened.calls(pong) == [{"left": 1}]


async def test_runner_refuses_an_undeclared_task_id(make_app: MakeApp) -> None:
    app = make_app()

    @app.task(task_id="bakery.bake")
    async def bake() -> None:
        pass

    @app.task(task_id="bakery.sell", triggers=TriggerBuilder().on_status("bakery.bakes"))
    async def sell() -> None:
        pass

    async with app:
        with pytest.raises(UnknownTask, match=r"bakery\.sell watches .* 'bakery\.bakes', did you mean 'bakery\.bake'"):
            await app.runner().__aenter__()


async def test_first_runner_evaluates_earlier_entries(make_app: MakeApp) -> None:
    app = make_app()

    @app.task
    async def bake() -> str:
        return "loaf"

    @app.task(triggers=TriggerBuilder().on_event("order").with_args_from_event(number_of))
    async def note_order(number: int) -> None:
        pass

    @app.task(triggers=TriggerBuilder().on_result(bake, "loaf"))
    async def ring_the_notifier() -> None:
        pass

    async with app:
        invocation = await bake()
        for number in range(3):
            await app.emit_event("order", {"number": number})
        assert await invocation.status() is InvocationStatus.REGISTERED
        async with driven(app) as happened:
            await happened.settle()
            assert sorted(call["number"] for call in await happened.calls(note_order)) == [0, 1, 2]
            assert await happened.count(ring_the_notifier) == 1


async def test_next_runner_continues_where_the_last_one_ended(make_app: MakeApp) -> None:
    app = make_app()

    @app.task(triggers=TriggerBuilder().on_event("order").with_args_from_event(number_of))
    async def note_order(number: int) -> None:
        pass

    async with app:
        for number in range(3):
            async with driven(app) as happened:
                await app.emit_event("order", {"number": number})
                await happened.settle()
            await app.emit_event("order", {"number": number + 10})
        async with driven(app) as happened:
            await happened.settle()
            numbers = [call["number"] for call in await happened.calls(note_order)]
    assert numbers == [0, 10, 1, 11, 2, 12]


async def test_new_trigger_is_active_once_its_runner_is_up(make_app: MakeApp) -> None:
    old = make_app()

    @old.task(task_id="bakery.bake")
    async def bake() -> None:
        pass

    async with old:
        async with driven(old) as happened:
            await happened.settle()
        for number in range(5):
            new = sibling(old)

            @new.task(task_id=f"bakery.react.{number}", triggers=TriggerBuilder().on_event("order"))
            async def react() -> None:
                pass

            declare_marker(new)
            async with new, new.history() as history, new.runner():
                event_id = await new.emit_event("order")

                async def reactions(history: Any = history, event_id: str = event_id) -> Any:
                    return await history.invocations(event_id=event_id)

                assert [one.task_id for one in await wait_until(reactions)] == [react.task_id]


async def test_waiting_work_runs_after_new_triggers_are_active(make_app: MakeApp) -> None:
    old = make_app()

    @old.task(task_id="bakery.bake")
    async def bake() -> None:
        pass

    async with old:
        async with driven(old) as happened:
            await happened.settle()
        await bake()
        new = sibling(old)

        @new.task(task_id="bakery.bake")
        async def bake_again() -> None:
            await new.emit_event("baked")

        @new.task(triggers=TriggerBuilder().on_event("baked"))
        async def sell() -> None:
            pass

        async with driven(new) as happened:
            await happened.settle()
            assert await happened.count(sell) == 1


async def test_with_several_runners_each_reaction_happens_once(make_app: MakeApp) -> None:
    app = make_app()

    @app.task
    async def bake(number: int) -> int:
        return number

    @app.task(triggers=TriggerBuilder().on_any_result(bake).with_args_from_result(loaf_of))
    async def sell(loaf: int) -> None:
        pass

    async with driven(app, runners=3) as happened:
        for number in range(30):
            await bake(number)
        await happened.settle()
        assert sorted(call["loaf"] for call in await happened.calls(sell)) == list(range(30))


async def test_caller_needs_only_the_upstream_task(make_app: MakeApp, tmp_path: Path) -> None:
    app = make_app()

    @app.task(task_id="bakery.bake")
    async def bake() -> None:
        pass

    @app.task(triggers=TriggerBuilder().on_status(bake))
    async def ring_the_notifier() -> None:
        pass

    declare_marker(app)
    caller = sibling(app)

    @caller.task(task_id="bakery.bake")
    async def bake_as_the_caller_sees_it() -> None:
        raise AssertionError("the caller runs nothing")

    async with driven(app) as happened:
        async with caller:
            invocation = await bake_as_the_caller_sees_it()
            await invocation.result(timeout=60)
        await happened.settle()
        assert await happened.count(ring_the_notifier) == 1


async def test_data_outlives_the_app_except_on_memory(make_app: MakeApp) -> None:
    first = make_app()
    async with first:
        event_id = await first.emit_event("order", {"number": 1})
    second = make_app()
    async with second, second.history() as history:
        found = [event.event_id for event in await history.events()]
    assert found == ([] if second._internals.settings.trigger_cls == "MemTrigger" else [event_id])


async def test_two_apps_in_one_file_see_only_their_own(tmp_path: Path) -> None:
    seen: list[str] = []
    shop, bank = (on_sqlite(tmp_path / "shared.db", app_id=name) for name in ("shop", "bank"))
    for app in (shop, bank):

        @app.task(task_id="note", triggers=TriggerBuilder().on_event("order"))
        async def note() -> None:
            current = current_invocation()
            assert current is not None
            seen.append(current.app_id)

    async with driven(shop) as in_shop, driven(bank) as in_bank:
        await shop.emit_event("order")
        await in_shop.settle()
        await in_bank.settle()
        await wait_until(lambda: seen)
        assert await in_bank.runs() == []
    assert seen == ["shop"]
