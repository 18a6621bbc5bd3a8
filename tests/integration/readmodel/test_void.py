"""Void entries are stored with their reason and change nothing else."""

from tests.integration.readmodel.story import Story, on_event, trigger
from trigger_engine._readmodel.history import History

welcome = trigger("welcome", on_event("login"))


async def test_entries_of_a_replaced_leader_are_void(story: Story, history: History) -> None:
    old = story.lead()
    story.declare(welcome)
    story.lead()
    story.term = old
    event_id = story.event("login")
    run_id = story.fire(welcome, {"event:login": event_id})
    (record,) = await history.void()
    assert (record.entry_id, record.kind, record.reason) == (run_id, "fired", f"term {old} is not current")
    assert record.facts["participants"] == [["event:login", event_id]]
    assert not await history.trigger_runs()
    assert not (await history.event(event_id)).matched


async def test_entry_with_a_repeated_id_is_void(story: Story, history: History) -> None:
    story.event("login", {"n": 1}, event_id="same")
    story.event("login", {"n": 2}, event_id="same")
    (event,) = await history.events()
    (record,) = await history.void()
    assert event.payload == {"n": 1}
    assert (record.entry_id, record.facts["payload"]) == ("same", {"n": 2})
    assert record.reason == "an earlier entry has the same id"


async def test_every_kind_of_repeated_entry_is_void(story: Story, history: History) -> None:
    story.lead()
    story.declare(welcome)
    event_id = story.event("login")
    story.fire(welcome, {"event:login": event_id})
    story.reject(trigger("other", on_event("login")), {"event:login": event_id}, "no")
    invocation_id = story.register()
    story.start(invocation_id)
    story.tick("cron", 1.0)
    story.evaluate()
    story.retain(0)
    entries = story.log.decoded()
    for _, entry in entries:
        story.add(entry)
    assert sorted(record.entry_id for record in await history.void()) == sorted(entry.id for _, entry in entries)


async def test_invalid_move_is_void(story: Story, history: History) -> None:
    invocation_id = story.register()
    story.start(invocation_id, claim="first")
    story.recover(invocation_id, claim="first")
    story.start(invocation_id, claim="second")
    stale = story.succeed(invocation_id, "stale", claim="first")
    story.succeed(invocation_id, "right", claim="second")
    (record,) = await history.void()
    assert (record.entry_id, record.reason) == (stale, "another claim holds it")
    assert (await history.invocation(invocation_id)).result == "right"


async def test_status_of_an_unknown_invocation_is_void(story: Story, history: History) -> None:
    invocation_id = story.register()
    story.run(invocation_id)
    started = story.log.decoded()[1][1]
    story.log.entries.clear()
    story.log.last = 0
    story.add(started)
    (record,) = await history.void()
    assert record.reason == "the invocation is unknown"
