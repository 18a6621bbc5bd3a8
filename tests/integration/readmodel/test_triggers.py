"""Declared triggers: states, run counts, and what they wait for."""

from datetime import UTC, datetime, timedelta

import msgspec

from tests.integration.readmodel.story import Story, at, on_cron, on_event, on_status, raw, trigger
from trigger_engine._engine.lifecycle import InvocationStatus
from trigger_engine._model.definitions import (
    CallableFilter,
    EqualsFilter,
    EventCondition,
    ExceptionCondition,
    MappingFilter,
    ProvidedArguments,
    ResultCondition,
    StaticArguments,
    TriggerDefinition,
)
from trigger_engine._model.entries import ChainEnded, TriggerResumed, TriggerRetired, TriggerSuspended
from trigger_engine._readmodel.history import History
from trigger_engine._readmodel.records import TriggerRecord

welcome = trigger("welcome", on_event("login"))
both = trigger("both", on_event("login"), on_event("paid"))
group = trigger("group", on_status("pack", "running"), on_status("pack", "success"), on_event("paid"))


async def only(history: History) -> TriggerRecord:
    (record,) = await history.triggers()
    return record


async def test_trigger_has_its_conditions_and_providers(story: Story, history: History) -> None:
    definition = TriggerDefinition(
        id="t:1",
        slot="t#0",
        task_id="t",
        logic="or",
        conditions=(
            EventCondition(id="e", event_code="login", payload_filter=MappingFilter(value=raw({"role": "admin"}))),
            ResultCondition(
                id="r",
                task_id="div",
                result_filter=EqualsFilter(value=raw(2.5)),
                call_arguments=CallableFilter(name="tasks.is_large", code="1"),
            ),
            ExceptionCondition(id="x", task_id="div", exception_types=("ValueError",), call_arguments=None),
            on_status("div", "success"),
            on_cron("* * * * *"),
        ),
        providers=(
            StaticArguments(value=raw({"level": "info"})),
            ProvidedArguments(context="event", name="tasks.make", code="1"),
        ),
        queue="mail",
    )
    story.lead()
    story.declare(definition)
    record = await only(history)
    assert (record.trigger_id, record.slot, record.task_id, record.logic, record.queue) == (
        "t:1",
        "t#0",
        "t",
        "or",
        "mail",
    )
    event, result, exception, status, cron = record.conditions
    assert (event.kind, event.event_code) == ("event", "login")
    assert [(one.of, one.kind, one.value) for one in event.filters] == [("payload", "mapping", {"role": "admin"})]
    assert [(one.of, one.kind, one.name, one.value) for one in result.filters] == [
        ("arguments", "callable", "tasks.is_large", None),
        ("result", "equals", None, 2.5),
    ]
    assert (exception.kind, exception.exception_types) == ("exception", ("ValueError",))
    assert (status.kind, status.task_id, status.statuses) == ("status", "div", (InvocationStatus.SUCCESS,))
    assert (cron.kind, cron.expression, cron.timezone, cron.catch_up_window) == ("cron", "* * * * *", "UTC", 60.0)
    static, provided = record.providers
    assert (static.context, static.value) == ("static", {"level": "info"})
    assert (provided.context, provided.name) == ("event", "tasks.make")
    assert msgspec.json.decode(msgspec.json.encode(record))["conditions"][0]["filters"][0]["value"] == {"role": "admin"}


async def test_trigger_counts_its_runs(story: Story, history: History) -> None:
    story.lead()
    story.declare(welcome)
    before = await only(history)
    assert (before.runs, before.rejected, before.last_fired, before.last_run_id) == (0, 0, None, None)
    story.fire(welcome, {"event:login": story.event("login")})
    run_id = story.fire(welcome, {"event:login": story.event("login")})
    story.reject(welcome, {"event:login": story.event("login")}, "no")
    record = await only(history)
    assert (record.runs, record.rejected, record.last_run_id) == (2, 1, run_id)
    assert (record.declared_at, record.last_fired) == (at(1), at(5))


async def test_trigger_changes_its_state(story: Story, history: History) -> None:
    async def state() -> tuple[str, datetime, datetime]:
        record = await only(history)
        return record.state, record.state_since, record.declared_at

    story.lead()
    story.declare(welcome)
    assert await state() == ("active", at(1), at(1))
    story.leader_entry(TriggerSuspended, trigger_id=welcome.id, slot=welcome.slot)
    assert await state() == ("suspended", at(2), at(1))
    story.leader_entry(TriggerResumed, trigger_id=welcome.id, slot=welcome.slot)
    assert await state() == ("active", at(3), at(1))
    story.leader_entry(TriggerRetired, trigger_id=welcome.id, slot=welcome.slot)
    assert await state() == ("retired", at(4), at(1))
    story.declare(welcome)
    assert await state() == ("active", at(5), at(5))


async def test_new_trigger_in_a_slot_replaces_the_old_one(story: Story, history: History) -> None:
    newer = msgspec.structs.replace(welcome, id="welcome:2")
    story.lead()
    story.declare(welcome, both)
    story.declare(newer)
    states = {record.trigger_id: record.state for record in await history.triggers()}
    assert states == {"welcome:2": "active", "welcome:1": "replaced", "both:1": "active"}
    assert [record.trigger_id for record in await history.triggers(state="replaced")] == ["welcome:1"]
    assert [record.trigger_id for record in await history.triggers(task_id="both")] == ["both:1"]


async def test_trigger_keeps_its_state_in_another_slot(story: Story, history: History) -> None:
    story.lead()
    story.declare(welcome)
    story.fire(welcome, {"event:login": story.event("login")})
    story.declare(msgspec.structs.replace(welcome, slot="welcome#1"), msgspec.structs.replace(both, slot="welcome#0"))
    moved = next(record for record in await history.triggers() if record.trigger_id == "welcome:1")
    assert (moved.slot, moved.state, moved.declared_at, moved.runs) == ("welcome#1", "active", at(1), 1)


async def test_and_shows_what_it_waits_for(story: Story, history: History) -> None:
    story.lead()
    story.declare(both)
    assert (await only(history)).missing == ("event:login", "event:paid")
    first, second = story.event("login"), story.event("login")
    story.evaluate((both, "event:login", first), (both, "event:login", second))
    record = await only(history)
    assert (record.waiting, record.missing) == ({"event:login": 2, "event:paid": 0}, ("event:paid",))
    paid = story.event("paid")
    story.fire(both, {"event:login": second, "event:paid": paid})
    story.evaluate()
    record = await only(history)
    assert (record.waiting, record.runs) == ({"event:login": 0, "event:paid": 0}, 1)
    assert (await history.event(first)).matched_condition_ids == ("event:login",)


async def test_group_is_partial_until_one_invocation_meets_it(story: Story, history: History) -> None:
    story.lead()
    story.declare(group)
    running = story.start(story.register("pack", id="pack-1"))
    story.evaluate((group, "status:pack[running]", running))
    record = await only(history)
    assert record.partial == {"status:pack[running]": 1}
    assert record.missing == ("status:pack[running]", "status:pack[success]", "event:paid")
    succeeded = story.succeed("pack-1")
    story.evaluate((group, "status:pack[success]", succeeded))
    record = await only(history)
    assert (record.partial, record.missing) == ({}, ("event:paid",))


async def test_partial_group_is_dropped_when_its_invocation_has_ended(story: Story, history: History) -> None:
    story.lead()
    story.declare(group)
    running = story.start(story.register("pack", id="pack-1"))
    story.evaluate((group, "status:pack[running]", running))
    story.fail("pack-1")
    assert (await only(history)).partial == {"status:pack[running]": 1}
    story.evaluate()
    assert (await only(history)).partial == {}


async def test_chain_end_empties_an_and(story: Story, history: History) -> None:
    story.lead()
    story.declare(both)
    login = story.event("login")
    story.evaluate((both, "event:login", login))
    paid = story.event("paid")
    story.leader_entry(ChainEnded, trigger_id=both.id, slot=both.slot, entry_id=paid)
    story.evaluate()
    assert (await only(history)).waiting == {"event:login": 0, "event:paid": 0}
    (notice,) = await history.notices(kind="chain-ended")
    assert (notice.trigger_id, notice.subject_id) == (both.id, paid)


async def test_trigger_with_one_condition_has_nothing_waiting(story: Story, history: History) -> None:
    story.lead()
    story.declare(welcome)
    record = await only(history)
    assert (record.waiting, record.missing, record.partial) == ({}, (), {})


async def test_most_recently_declared_triggers_come_first(story: Story, history: History) -> None:
    story.lead()
    story.declare(welcome)
    story.declare(both)
    first, second = await history.triggers()
    assert (first.trigger_id, second.trigger_id) == ("both:1", "welcome:1")
    assert first.declared_at - second.declared_at == timedelta(seconds=1)
    assert first.declared_at.tzinfo is UTC
