"""What retention and caps remove, and what they keep."""

from pathlib import Path

import pytest

from tests.integration.readmodel.stored_log import StoredLog
from tests.integration.readmodel.story import BEGIN, Story, invocation_of, on_event, trigger
from trigger_engine._engine.lifecycle import InvocationStatus
from trigger_engine._model.entries import TriggerRetired
from trigger_engine._readmodel.history import History
from trigger_engine.errors import InvocationNotFound, RecordNotFound

welcome = trigger("welcome", on_event("login"))
both = trigger("both", on_event("login"), on_event("paid"))


async def test_older_records_are_removed(log: StoredLog, story: Story, history: History) -> None:
    story.lead()
    story.declare(welcome)
    old = story.event("login")
    old_run = story.fire(welcome, {"event:login": old})
    story.run(invocation_of(old_run))
    story.event("login", event_id=old)
    before = log.last + 1
    new = story.event("login")
    new_run = story.fire(welcome, {"event:login": new})
    assert (await history.overview()).events == 2
    story.retain(before)
    assert [record.event_id for record in await history.events()] == [new]
    assert [record.run_id for record in await history.trigger_runs()] == [new_run]
    assert [record.invocation_id for record in await history.invocations()] == [invocation_of(new_run)]
    assert not await history.void()
    with pytest.raises(RecordNotFound):
        await history.event(old)
    with pytest.raises(InvocationNotFound):
        await history.invocation(invocation_of(old_run))
    overview = await history.overview()
    assert (overview.events, overview.trigger_runs, overview.void) == (1, 1, 0)
    assert overview.invocations[InvocationStatus.SUCCESS] == 0


async def test_open_records_stay(log: StoredLog, story: Story, history: History) -> None:
    story.lead()
    story.declare(both)
    waiting = story.register()
    login = story.event("login")
    story.evaluate((both, "event:login", login))
    story.retain(log.last + 1)
    assert (await history.invocation(waiting)).status is InvocationStatus.REGISTERED
    (record,) = await history.triggers()
    assert (record.waiting["event:login"], record.state) == (1, "active")
    story.start(waiting)
    assert (await history.invocation(waiting)).status is InvocationStatus.RUNNING
    run_id = story.fire(both, {"event:login": login, "event:paid": story.event("paid")})
    participants = (await history.trigger_run(run_id)).participants
    assert [one.timestamp is None for one in participants] == [True, False]


async def test_run_counts_are_kept(log: StoredLog, story: Story, history: History) -> None:
    story.lead()
    story.declare(welcome)
    story.fire(welcome, {"event:login": story.event("login")})
    story.retain(log.last)
    (record,) = await history.triggers()
    assert record.runs == 1


async def test_retired_trigger_is_removed_by_retention(log: StoredLog, story: Story, history: History) -> None:
    story.lead()
    story.declare(welcome)
    story.leader_entry(TriggerRetired, trigger_id=welcome.id, slot=welcome.slot)
    assert len(await history.triggers()) == 1
    story.retain(log.last + 1)
    assert len(await history.triggers()) == 0


async def test_key_outlives_its_event(log: StoredLog, story: Story, history: History) -> None:
    story.event("login", event_id="keyed", keyed=True)
    story.register(id="keyed-call", keyed=True)
    story.run("keyed-call")
    story.retain(log.last + 1)
    story.event("login", event_id="keyed", keyed=True)
    story.register(id="keyed-call", keyed=True)
    assert not await history.events()
    assert len(await history.void()) == 2
    story.retain(log.last + 1, keys_before=BEGIN + 1000)
    story.event("login", event_id="keyed", keyed=True)
    assert [record.event_id for record in await history.events()] == ["keyed"]


async def test_id_of_a_tick_outlives_it(log: StoredLog, story: Story, history: History) -> None:
    story.lead()
    story.tick("cron", 60.0)
    story.retain(log.last + 1)
    repeated = story.tick("cron", 60.0)
    assert [record.entry_id for record in await history.void()] == [repeated]


async def test_caps_keep_the_newest_records(log: StoredLog, story: Story, tmp_path: Path) -> None:
    story.lead()
    story.declare(welcome)
    events = [story.event("login") for _ in range(5)]
    runs = [story.fire(welcome, {"event:login": event_id}) for event_id in events]
    async with History(
        log,
        app_id="shop",
        location="a list",
        cache_folder=tmp_path,
        event_max_records=3,
        trigger_run_max_records=2,
    ) as history:
        assert [record.event_id for record in await history.events()] == events[:1:-1]
        assert [record.run_id for record in await history.trigger_runs()] == runs[:2:-1]
        overview = await history.overview()
        assert (overview.events, overview.triggered, overview.trigger_runs) == (3, 3, 2)
        newest = story.event("login")
        assert [record.event_id for record in await history.events()] == [newest, *events[:2:-1]]
