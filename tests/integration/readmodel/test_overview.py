"""The whole in numbers, what leaders noted, and what an id names."""

from datetime import timedelta

import pytest

from tests.integration.readmodel.stored_log import StoredLog
from tests.integration.readmodel.story import Story, at, invocation_of, on_cron, on_event, trigger
from trigger_engine._engine.lifecycle import InvocationStatus
from trigger_engine._model.entries import BacklogExceeded, FilterFailed, TriggerSuspended
from trigger_engine._readmodel.history import History
from trigger_engine._readmodel.records import (
    EventRecord,
    InvocationRecord,
    RunnerRecord,
    TriggerRecord,
    TriggerRunRecord,
    VoidRecord,
)
from trigger_engine.backend._contract import RunnerFacts, RunnerRow
from trigger_engine.errors import QueryError, RecordNotFound

welcome = trigger("welcome", on_event("login"))
both = trigger("both", on_event("login"), on_event("paid"))
nightly = trigger("nightly", on_cron("0 0 * * *"))


def runner(runner_id: str, started_at: float, *, alive: bool = True) -> RunnerRow:
    facts = RunnerFacts(
        runner_id=runner_id,
        host="host",
        pid=7,
        started_at=started_at,
        code_time=0.0,
        version="1.2",
        tasks=("welcome",),
        triggers=(("welcome#0", "welcome:1"),),
        queues=("default",),
        concurrency=4,
    )
    return RunnerRow(facts, last_seen=started_at + 5, alive=alive)


async def test_overview_of_an_empty_log_is_all_zeros(history: History) -> None:
    record = await history.overview()
    assert (record.events, record.matched, record.trigger_runs, record.void, record.leader_id) == (0, 0, 0, 0, None)
    assert set(record.invocations.values()) == {0}
    for page in (await history.events(), await history.trigger_runs(), await history.invocations()):
        assert (len(page), page.next_cursor) == (0, None)


async def test_overview_counts_records(story: Story, history: History) -> None:
    story.lead("runner-1")
    story.declare(welcome, both)
    story.event("x")
    kept = story.event("paid")
    fired = story.event("login")
    story.event("login", event_id=fired)
    run_id = story.fire(welcome, {"event:login": fired})
    story.reject(both, {"event:login": fired}, "no")
    story.evaluate((both, "event:paid", kept))
    story.run(invocation_of(run_id))
    story.register()
    record = await history.overview()
    assert (record.events, record.matched, record.triggered, record.void) == (3, 2, 1, 1)
    assert (record.trigger_runs, record.rejected) == (2, 1)
    assert record.invocations[InvocationStatus.SUCCESS] == 1
    assert record.invocations[InvocationStatus.REGISTERED] == 1
    assert record.triggers == {"active": 2}
    assert (record.leader_id, record.leader_since) == ("runner-1", at(0))
    assert (record.position, record.evaluated_upto) == (12, 8)


async def test_activity_is_counted_by_step(story: Story, history: History) -> None:
    minute = 60 - 1_000_000 % 60
    for time in (0.0, 1.0, float(minute), float(minute + 1), float(minute + 600)):
        story.time = at(time).timestamp()
        story.event()
    by_minute = await history.activity()
    assert [record.counts for record in by_minute] == [{"event": 2}, {"event": 2}, {"event": 1}]
    assert by_minute[1].start == at(minute)
    assert [record.counts for record in await history.activity(step=timedelta(minutes=5))] == [
        {"event": 4},
        {"event": 1},
    ]
    assert [record.start for record in await history.activity(since=at(minute), until=at(minute + 60))] == [at(minute)]
    with pytest.raises(QueryError, match="step="):
        await history.activity(step=timedelta(seconds=90))


async def test_notices_are_listed(story: Story, history: History) -> None:
    story.lead()
    story.declare(welcome)
    event_id = story.event("login")
    story.leader_entry(
        FilterFailed, condition_id="event:login", entry_id=event_id, filter="tasks.f", error="KeyError: 1"
    )
    story.leader_entry(TriggerSuspended, trigger_id=welcome.id, slot=welcome.slot)
    story.leader_entry(BacklogExceeded, waiting=7, limit=5)
    story.retain(0)
    kinds = [notice.kind for notice in await history.notices()]
    assert kinds == ["retention", "backlog", "suspended", "filter-failed", "declared", "elected"]
    (failed,) = await history.notices(subject_id=event_id)
    assert (failed.text, failed.condition_id, failed.timestamp) == ("tasks.f: KeyError: 1", "event:login", at(3))
    assert [notice.kind for notice in await history.notices(trigger_id=welcome.id)] == ["suspended"]
    assert [notice.kind for notice in await history.notices(since=at(4), until=at(6))] == ["backlog", "suspended"]


async def test_runners_have_leadership_and_held_invocations(log: StoredLog, story: Story, history: History) -> None:
    log.rows = [runner("runner-1", 100.0), runner("runner-2", 200.0), runner("runner-3", 50.0, alive=False)]
    story.lead("runner-1")
    invocation_id = story.register()
    story.start(invocation_id, runner="runner-2")
    second, first, third = await history.runners()
    assert [one.runner_id for one in (second, first, third)] == ["runner-2", "runner-1", "runner-3"]
    assert (first.leads, second.leads, third.leads) == (True, False, False)
    assert (second.holding, first.holding) == ((invocation_id,), ())
    assert (third.alive, first.version, first.trigger_ids) == (False, "1.2", ("welcome:1",))


async def test_search_finds_records_by_id(log: StoredLog, story: Story, history: History) -> None:
    log.rows = [runner("runner-1", 100.0)]
    story.lead()
    story.declare(welcome, nightly)
    event_id = story.event("login")
    run_id = story.fire(welcome, {"event:login": event_id})
    invocation_id = invocation_of(run_id)
    started = story.start(invocation_id)
    tick = story.tick("cron:0 0 * * *", 60.0)
    stale = story.start(invocation_id, claim="late")

    for token in (event_id, f"event:{event_id}"):
        found = await history.search(token)
        assert isinstance(found, EventRecord)
    for token in (run_id, f"trigger-run:{run_id}"):
        assert isinstance(await history.search(token), TriggerRunRecord)
    for token in (invocation_id, f"invocation:{invocation_id}", started):
        found = await history.search(token)
        assert isinstance(found, InvocationRecord)
        assert found.invocation_id == invocation_id
    for token in ("welcome:1", "trigger:welcome:1", "event:login"):
        found = await history.search(token)
        assert isinstance(found, TriggerRecord)
        assert found.trigger_id == "welcome:1"
    found = await history.search(tick)
    assert isinstance(found, TriggerRecord)
    assert found.trigger_id == nightly.id
    assert isinstance(await history.search(stale), VoidRecord)
    for token in ("runner-1", "runner:runner-1"):
        assert isinstance(await history.search(token), RunnerRecord)
    with pytest.raises(RecordNotFound, match="nothing in the history has the id 'event:nothing'"):
        await history.search("event:nothing")
