"""Explanations of why an entry fired or did not fire triggers."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.support.apps import on_memory
from tests.support.tasks import task_of
from trigger_engine import EventContext, TriggerBuilder, TriggerEngine
from trigger_engine._engine.explain import Explanation
from trigger_engine._model.entries import TriggerRetired, TriggerSuspended
from trigger_engine._readmodel.queries.explanations import ExplanationRecord
from trigger_engine.errors import RecordNotFound
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


async def explained_by_task(engine: TestEngine, entry_id: str) -> dict[str, Explanation]:
    """Returns the explanation of an entry for each task's trigger."""
    return {one.task_id: one for one in (await explained(engine, entry_id)).explanations}


async def emit(engine: TestEngine, code: str, **payload: Any) -> str:
    event_id = await engine.app.emit_event(code, payload)
    await engine.run_until_idle()
    return event_id


async def call_pay(engine: TestEngine, amount: int) -> str:
    invocation = await task_of(engine.app, "pay")(amount=amount)
    await engine.run_until_idle()
    return invocation.invocation_id


async def test_event_is_explained_for_every_trigger(engine: TestEngine) -> None:
    event_id = await emit(engine, "order", kind="open", amount=500)
    found = await explained_by_task(engine, event_id)
    assert {task: one.outcome for task, one in found.items()} == {
        "audit": "filtered",
        "review": "fired",
        "both": "kept",
        **dict.fromkeys(("refund", "thank", "seen", "hourly", "charge"), "not listening"),
    }
    assert found["audit"].text == 'payload.kind is "open", expected "paid"'
    assert found["both"].text == "it met event:order and waits for event:truck"
    assert found["both"].missing == ("event:truck",)


async def test_explanation_describes_the_entry(engine: TestEngine) -> None:
    event_id = await emit(engine, "order", kind="open", amount=500)
    record = await explained(engine, event_id)
    assert (record.kind, record.source, record.void) == ("event", "order", None)
    assert record.values == {"payload": {"kind": "open", "amount": 500}}
    listening = [one.outcome != "not listening" for one in record.explanations]
    assert listening == sorted(listening, reverse=True)


async def test_kept_event_has_fired_after_the_missing_event_arrived(engine: TestEngine) -> None:
    order = await emit(engine, "order", amount=1)
    truck = await emit(engine, "truck")
    of_order, of_truck = (
        (await explained_by_task(engine, order))["both"],
        (await explained_by_task(engine, truck))["both"],
    )
    assert of_order.outcome == of_truck.outcome == "fired"
    assert of_order.run_id == of_truck.run_id
    assert ", together with 1 others," in of_order.text


async def test_false_and_failing_filters_are_distinguished(engine: TestEngine) -> None:
    small, broken = await emit(engine, "order", amount=1), await emit(engine, "order")
    assert (await explained_by_task(engine, small))["review"].text == f"{is_large.__module__}.is_large returned false"
    assert (
        "is_large failed, which counts as false: KeyError: 'amount'"
        in (await explained_by_task(engine, broken))["review"].text
    )


async def test_rejected_run_is_explained_with_its_error(engine: TestEngine) -> None:
    event_id = await emit(engine, "charge")
    found = (await explained_by_task(engine, event_id))["charge"]
    assert found.outcome == "rejected"
    assert "make_arguments: KeyError: 'missing'" in found.text
    assert found.invocation_id is None


async def test_invocation_is_explained_by_its_most_relevant_status(engine: TestEngine) -> None:
    called = await call_pay(engine, 5)
    await engine.advance(minutes=1)
    found = await explained_by_task(engine, called)
    assert found["thank"].text == "result.amount is 5, expected 7"
    assert found["refund"].text == "status is success, expected failed"
    assert found["seen"].outcome == "dropped"
    failed = await explained_by_task(engine, await call_pay(engine, -1))
    assert failed["refund"].text == "exception is ValueError, expected OSError"
    assert failed["thank"].text == "status is failed, expected success"


async def test_status_that_fired_is_explained_by_invocation_and_entry_id(engine: TestEngine) -> None:
    invocation_id = await call_pay(engine, 7)
    record = await explained(engine, invocation_id)
    assert record.statuses == ("registered", "pending", "running", "success")
    assert record.values == {"arguments": {"amount": 7}, "result": {"amount": 7}}
    (thank,) = [one for one in record.explanations if one.task_id == "thank"]
    assert thank.outcome == "fired"
    assert thank.entry_id.endswith(":succeeded")
    assert (await explained_by_task(engine, thank.entry_id))["thank"].run_id == thank.run_id
    assert thank.run_id is not None
    of_run = await explained(engine, thank.run_id)
    assert (of_run.kind, of_run.source) == ("invocation", "thank")


async def test_group_met_by_one_invocation_has_fired(engine: TestEngine) -> None:
    found = await explained_by_task(engine, await call_pay(engine, 8))
    assert found["seen"].outcome == "fired"


async def test_tick_is_explained(engine: TestEngine) -> None:
    await engine.advance(hours=1)
    async with engine.app.history() as history:
        (run,) = [one for one in await history.trigger_runs() if one.task_id == "hourly"]
    found = await explained_by_task(engine, run.participants[0].entry_id)
    assert found["hourly"].outcome == "fired"
    assert found["audit"].outcome == "not listening"


async def test_unevaluated_event_is_explained(engine: TestEngine) -> None:
    await engine.run_until_idle()
    event_id = await engine.app.emit_event("order", {"amount": 500})
    found = await explained_by_task(engine, event_id)
    assert found["review"].outcome == "not evaluated"
    assert found["audit"].outcome == "filtered"


async def test_trigger_is_selected_by_id_slot_or_task(engine: TestEngine) -> None:
    event_id = await emit(engine, "order", kind="paid", amount=1)
    (by_task,) = (await explained(engine, event_id, "audit")).explanations
    assert by_task.outcome == "fired"
    for name in (by_task.slot, by_task.trigger_id):
        assert (await explained(engine, event_id, name)).explanations == (by_task,)
    with pytest.raises(RecordNotFound, match="no trigger 'audiit' was ever declared, did you mean 'audit'"):
        await explained(engine, event_id, "audiit")


async def test_error_for_an_unknown_id_lists_the_possible_kinds(engine: TestEngine) -> None:
    with pytest.raises(RecordNotFound, match="give the id of an event, an invocation, a trigger run or a status"):
        await explained(engine, "nothing")


async def _append(engine: TestEngine, *entries: Any) -> None:
    session = await engine.app._internals.connections.session()
    for entry in entries:
        await session.append((entry,))


async def test_explanation_mentions_a_suspended_or_retired_trigger(engine: TestEngine) -> None:
    before = await emit(engine, "order", kind="open")
    (audit,) = (await explained(engine, before, "audit")).explanations
    term = engine._election.term
    assert term is not None
    facts: dict[str, Any] = {"time": 0.0, "term": term.number, "trigger_id": audit.trigger_id, "slot": audit.slot}
    await _append(engine, TriggerSuspended(id="s", **facts))
    while_suspended = await engine.app.emit_event("order", {"kind": "open"})
    await _append(engine, TriggerRetired(id="r", **facts))
    after = await engine.app.emit_event("order", {"kind": "open"})
    outcomes = [(await explained_by_task(engine, one))["audit"] for one in (before, while_suspended, after)]
    assert [one.outcome for one in outcomes] == ["filtered", "not active", "not active"]
    assert "suspended" in outcomes[1].text
    assert "retired" in outcomes[2].text
