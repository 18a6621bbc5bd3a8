"""What history says of why an entry did or did not fire triggers."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.support.apps import on_memory
from trigger_engine import EventContext, TriggerBuilder, TriggerEngine
from trigger_engine.core.explain import Explanation
from trigger_engine.entries.facts import TriggerRetired, TriggerSuspended
from trigger_engine.errors import RecordNotFound
from trigger_engine.history.explanation import ExplanationRecord
from trigger_engine.testing import TestEngine


def is_large(payload: dict[str, int]) -> bool:
    return payload["amount"] > 100


def make_arguments(ctx: EventContext) -> dict[str, Any]:
    return {"amount": ctx.payload["missing"]}


def make_app() -> TriggerEngine:
    app = on_memory()

    @app.task(task_id="pay")
    async def pay(amount: int) -> dict[str, int]:
        if amount < 0:
            raise ValueError("negative")
        return {"amount": amount}

    def declare(task_id: str, triggers: TriggerBuilder) -> None:
        @app.task(task_id=task_id, triggers=triggers)
        async def reacting() -> None: ...

    declare("audit", TriggerBuilder().on_event("order", payload_filter={"kind": "paid"}))
    declare("review", TriggerBuilder().on_event("order", payload_filter=is_large))
    declare("both", TriggerBuilder().on_event("order").on_event("truck"))
    declare("refund", TriggerBuilder().on_exception(pay, exception_types="OSError"))
    declare("thank", TriggerBuilder().on_result(pay, filter_result={"amount": 7}))
    declare("seen", TriggerBuilder().on_status(pay, statuses="RUNNING").on_result(pay, filter_result={"amount": 8}))
    declare("hourly", TriggerBuilder().on_cron("@hourly"))

    @app.task(task_id="charge", triggers=TriggerBuilder().on_event("charge").with_args_from_event(make_arguments))
    async def charge(amount: int) -> None: ...

    return app


@pytest.fixture
async def engine() -> AsyncIterator[TestEngine]:
    async with TestEngine(make_app(), allow_failures=True) as entered:
        yield entered


async def explained(engine: TestEngine, entry_id: str, trigger: str | None = None) -> ExplanationRecord:
    async with engine.app.history() as history:
        return await history.explain(entry_id, trigger)


async def told(engine: TestEngine, entry_id: str) -> dict[str, Explanation]:
    """By task, what became of an entry at the trigger of that task."""
    return {one.task_id: one for one in (await explained(engine, entry_id)).explanations}


async def emit(engine: TestEngine, code: str, **payload: Any) -> str:
    event_id = await engine.app.emit_event(code, payload)
    await engine.run_until_idle()
    return event_id


async def call_pay(engine: TestEngine, amount: int) -> str:
    invocation = await engine.app.registry.task("pay")(amount=amount)
    await engine.run_until_idle()
    return invocation.invocation_id


async def test_an_event_is_explained_for_every_trigger(engine: TestEngine) -> None:
    event_id = await emit(engine, "order", kind="open", amount=500)
    found = await told(engine, event_id)
    assert {task: one.outcome for task, one in found.items()} == {
        "audit": "filtered",
        "review": "fired",
        "both": "kept",
        **dict.fromkeys(("refund", "thank", "seen", "hourly", "charge"), "not listening"),
    }
    assert found["audit"].text == 'payload.kind is "open", expected "paid"'
    assert found["both"].text == "it met event:order and waits for event:truck"
    assert found["both"].missing == ("event:truck",)


async def test_the_record_says_what_the_entry_is(engine: TestEngine) -> None:
    event_id = await emit(engine, "order", kind="open", amount=500)
    record = await explained(engine, event_id)
    assert (record.kind, record.source, record.void) == ("event", "order", None)
    assert record.values == {"payload": {"kind": "open", "amount": 500}}
    listening = [one.outcome != "not listening" for one in record.explanations]
    assert listening == sorted(listening, reverse=True)


async def test_what_was_kept_has_fired_when_the_other_part_came(engine: TestEngine) -> None:
    order = await emit(engine, "order", amount=1)
    truck = await emit(engine, "truck")
    of_order, of_truck = (await told(engine, order))["both"], (await told(engine, truck))["both"]
    assert of_order.outcome == of_truck.outcome == "fired"
    assert of_order.run_id == of_truck.run_id
    assert ", together with 1 others," in of_order.text


async def test_functions_that_say_no_and_that_fail_are_told_apart(engine: TestEngine) -> None:
    small, broken = await emit(engine, "order", amount=1), await emit(engine, "order")
    assert (await told(engine, small))["review"].text == f"{is_large.__module__}.is_large said no"
    assert "is_large failed, which counts as no: KeyError: 'amount'" in (await told(engine, broken))["review"].text


async def test_a_rejected_run_is_told_with_its_error(engine: TestEngine) -> None:
    event_id = await emit(engine, "charge")
    found = (await told(engine, event_id))["charge"]
    assert found.outcome == "rejected"
    assert "make_arguments: KeyError: 'missing'" in found.text
    assert found.invocation_id is None


async def test_an_invocation_is_explained_by_its_most_telling_status(engine: TestEngine) -> None:
    called = await call_pay(engine, 5)
    await engine.advance(minutes=1)
    found = await told(engine, called)
    assert found["thank"].text == "result.amount is 5, expected 7"
    assert found["refund"].text == "status is success, expected failed"
    assert found["seen"].outcome == "dropped"
    failed = await told(engine, await call_pay(engine, -1))
    assert failed["refund"].text == "exception is ValueError, expected OSError"
    assert failed["thank"].text == "status is failed, expected success"


async def test_a_status_that_fired_a_trigger_is_told_by_invocation_and_by_entry(engine: TestEngine) -> None:
    invocation_id = await call_pay(engine, 7)
    record = await explained(engine, invocation_id)
    assert record.statuses == ("registered", "pending", "running", "success")
    assert record.values == {"arguments": {"amount": 7}, "result": {"amount": 7}}
    (thank,) = [one for one in record.explanations if one.task_id == "thank"]
    assert thank.outcome == "fired"
    assert thank.entry_id.endswith(":succeeded")
    assert (await told(engine, thank.entry_id))["thank"].run_id == thank.run_id
    assert thank.run_id is not None
    of_run = await explained(engine, thank.run_id)
    assert (of_run.kind, of_run.source) == ("invocation", "thank")


async def test_a_group_that_one_invocation_meets_has_fired(engine: TestEngine) -> None:
    found = await told(engine, await call_pay(engine, 8))
    assert found["seen"].outcome == "fired"


async def test_a_tick_is_explained(engine: TestEngine) -> None:
    await engine.advance(hours=1)
    async with engine.app.history() as history:
        (run,) = [one for one in await history.trigger_runs() if one.task_id == "hourly"]
    found = await told(engine, run.participants[0].entry_id)
    assert found["hourly"].outcome == "fired"
    assert found["audit"].outcome == "not listening"


async def test_an_event_that_nobody_has_judged_yet_says_so(engine: TestEngine) -> None:
    await engine.run_until_idle()
    event_id = await engine.app.emit_event("order", {"amount": 500})
    found = await told(engine, event_id)
    assert found["review"].outcome == "not judged"
    assert found["audit"].outcome == "filtered"


async def test_one_trigger_is_named_by_id_slot_or_task(engine: TestEngine) -> None:
    event_id = await emit(engine, "order", kind="paid", amount=1)
    (by_task,) = (await explained(engine, event_id, "audit")).explanations
    assert by_task.outcome == "fired"
    for name in (by_task.slot, by_task.trigger_id):
        assert (await explained(engine, event_id, name)).explanations == (by_task,)
    with pytest.raises(RecordNotFound, match="no trigger 'audiit' was ever declared, did you mean 'audit'"):
        await explained(engine, event_id, "audiit")


async def test_an_unknown_id_says_which_ids_there_are(engine: TestEngine) -> None:
    with pytest.raises(RecordNotFound, match="give the id of an event, an invocation, a trigger run or a status"):
        await explained(engine, "nothing")


async def _append(engine: TestEngine, *entries: Any) -> None:
    session = await engine.app._connections.session()
    for entry in entries:
        await session.append_entry(entry)


async def test_a_trigger_that_was_suspended_or_retired_at_the_time_says_so(engine: TestEngine) -> None:
    before = await emit(engine, "order", kind="open")
    (audit,) = (await explained(engine, before, "audit")).explanations
    leader = engine._leader.leadership
    assert leader is not None
    facts: dict[str, Any] = {"time": 0.0, "term": leader.term, "trigger_id": audit.trigger_id, "slot": audit.slot}
    await _append(engine, TriggerSuspended(id="s", **facts))
    while_suspended = await engine.app.emit_event("order", {"kind": "open"})
    await _append(engine, TriggerRetired(id="r", **facts))
    after = await engine.app.emit_event("order", {"kind": "open"})
    outcomes = [(await told(engine, one))["audit"] for one in (before, while_suspended, after)]
    assert [one.outcome for one in outcomes] == ["filtered", "not in force", "not in force"]
    assert "suspended" in outcomes[1].text
    assert "retired" in outcomes[2].text
