"""Trigger runs: what met each condition, and what they started."""

from datetime import UTC, datetime

import pytest

from tests.integration.readmodel.story import Story, at, invocation_of, on_cron, on_event, on_status, trigger
from trigger_engine._engine.lifecycle import InvocationStatus
from trigger_engine._readmodel.history import History
from trigger_engine.errors import RecordNotFound

welcome = trigger("welcome", on_event("login"))
ship = trigger("ship", on_event("paid"), on_status("pack", "success"), on_cron("0 9 * * *"))
either = trigger("either", on_event("login"), on_event("paid"), logic="or")
watch = trigger("watch", on_status("pack", "registered"))


async def test_run_has_its_trigger_invocation_and_arguments(story: Story, history: History) -> None:
    story.lead()
    story.declare(welcome)
    event_id = story.event("login")
    run_id = story.fire(welcome, {"event:login": event_id}, arguments={"user": "ann"}, dropped=3)
    record = await history.trigger_run(run_id)
    assert (record.trigger_id, record.slot, record.task_id, record.logic) == (
        "welcome:1",
        "welcome#0",
        "welcome",
        "and",
    )
    assert (record.invocation_id, record.arguments) == (invocation_of(run_id), {"user": "ann"})
    assert (record.error, record.dropped, record.timestamp) == (None, 3, at(3))


async def test_participants_describe_what_met_each_condition(story: Story, history: History) -> None:
    story.lead()
    story.declare(ship)
    paid = story.event("paid", emitter_task_id="till", emitter_invocation_id="till-1")
    packed = story.run(story.register("pack", id="pack-1"))
    tick = story.tick("cron:0 9 * * *", scheduled_for=60.0)
    met = {"event:paid": paid, "status:pack[success]": packed, "cron:0 9 * * *": tick}
    record = await history.trigger_run(story.fire(ship, met))
    event, status, cron = record.participants
    assert (event.kind, event.entry_id, event.event_code, event.invocation_id) == ("event", paid, "paid", "till-1")
    assert (event.timestamp, event.status, event.scheduled_for) == (at(2), None, None)
    assert (status.kind, status.invocation_id, status.status) == ("status", "pack-1", InvocationStatus.SUCCESS)
    assert (cron.kind, cron.scheduled_for) == ("cron", datetime.fromtimestamp(60, UTC))


async def test_registration_can_meet_a_condition(story: Story, history: History) -> None:
    story.lead()
    story.declare(welcome, watch)
    called = story.register("pack")
    started = story.fire(welcome, {"event:login": story.event("login")})
    of_call = await history.trigger_run(story.fire(watch, {"status:pack[registered]": called}))
    of_run = await history.trigger_run(story.fire(watch, {"status:pack[registered]": started}))
    assert of_call.participants[0].invocation_id == called
    assert of_run.participants[0].invocation_id == invocation_of(started)
    assert of_run.participants[0].status is InvocationStatus.REGISTERED


async def test_rejected_run_has_its_error(story: Story, history: History) -> None:
    story.lead()
    story.declare(welcome)
    event_id = story.event("login")
    run_id = story.reject(welcome, {"event:login": event_id}, "tasks.make: KeyError: 'user'")
    record = await history.trigger_run(run_id)
    assert record.error == "tasks.make: KeyError: 'user'"
    assert (record.invocation_id, record.arguments) == (None, None)
    assert [run.run_id for run in await history.trigger_runs(rejected=True)] == [run_id]
    assert not await history.trigger_runs(rejected=False)


async def test_runs_are_filtered(story: Story, history: History) -> None:
    story.lead()
    story.declare(welcome, either, watch)
    source = story.register("pack", id="pack-1")
    login = story.event("login", emitter_invocation_id="pack-1")
    first = story.fire(welcome, {"event:login": login})
    second = story.reject(either, {"event:login": login}, "no")
    third = story.fire(watch, {"status:pack[registered]": source})
    fourth = story.fire(either, {"event:paid": story.event("paid")})

    async def found(**filters: str | bool) -> list[str]:
        return [run.run_id for run in await history.trigger_runs(**filters)]  # type: ignore[arg-type]

    assert await found() == [fourth, third, second, first]
    assert await found(event_id=login) == [second, first]
    assert await found(event_id=login, rejected=False) == [first]
    assert await found(event_id=login, trigger_id="either:1") == [second]
    assert await found(trigger_id="either:1") == [fourth, second]
    assert await found(trigger_id="either:1", rejected=True) == [second]
    assert await found(invocation_id=invocation_of(third)) == [third]
    assert await found(invocation_id="pack-1") == []
    assert await found(source_invocation_id="pack-1") == [third, second, first]
    assert await found(source_invocation_id="pack-1", event_id=login) == [second, first]


async def test_runs_are_filtered_by_time(story: Story, history: History) -> None:
    story.lead()
    story.declare(welcome)
    runs = [story.fire(welcome, {"event:login": story.event("login")}) for _ in range(3)]
    found = await history.trigger_runs(since=at(5), until=at(7))
    assert [run.run_id for run in found] == [runs[1]]


async def test_run_of_an_undeclared_trigger_is_shown(story: Story, history: History) -> None:
    story.lead()
    event_id = story.event("login")
    record = await history.trigger_run(story.fire(welcome, {"event:login": event_id}))
    assert record.logic is None
    assert (record.participants[0].kind, record.participants[0].event_code) == ("event", "login")


async def test_unknown_participant_has_only_its_id(story: Story, history: History) -> None:
    story.lead()
    story.declare(welcome)
    record = await history.trigger_run(story.fire(welcome, {"event:login": "gone"}))
    participant = record.participants[0]
    assert (participant.entry_id, participant.kind, participant.timestamp) == ("gone", "event", None)


async def test_unknown_run_is_an_error(history: History) -> None:
    with pytest.raises(RecordNotFound, match="trigger-run:nothing is not in the history"):
        await history.trigger_run("nothing")
