"""Events: content, emitters, and outcomes."""

from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from tests.integration.readmodel.story import Story, at, invocation_of, on_event, trigger
from trigger_engine._model.entries import TriggerResumed, TriggerRetired, TriggerSuspended
from trigger_engine._readmodel.history import History
from trigger_engine.errors import QueryError, RecordNotFound

welcome = trigger("welcome", on_event("login"))
audit = trigger("audit", on_event("login"))
both = trigger("both", on_event("login"), on_event("paid"))


async def test_event_without_listeners_is_recorded(story: Story, history: History) -> None:
    event_id = story.event("login", {"user": "ann", "when": datetime(2025, 1, 1, tzinfo=UTC)})
    record = await history.event(event_id)
    assert (record.event_code, record.timestamp) == ("login", at(0))
    assert record.payload == {"user": "ann", "when": datetime(2025, 1, 1, tzinfo=UTC)}
    assert (record.matched, record.triggered, record.valid_condition_ids) == (False, False, ())


async def test_event_has_its_emitter(story: Story, history: History) -> None:
    event_id = story.event(emitter_task_id="tasks.source", emitter_invocation_id="i1", depth=2)
    other = story.event()
    record = await history.event(event_id)
    assert (record.emitter_task_id, record.emitter_invocation_id, record.depth) == ("tasks.source", "i1", 2)
    assert [one.event_id for one in await history.events(emitted_by="tasks.source")] == [event_id]
    assert [one.event_id for one in await history.events(emitted_by="i1")] == [event_id]
    assert (await history.event(other)).emitter_task_id is None


async def test_event_has_its_conditions_runs_and_invocations(story: Story, history: History) -> None:
    story.lead()
    story.declare(welcome, audit)
    event_id = story.event("login")
    run_id = story.fire(welcome, {"event:login": event_id})
    rejected = story.reject(audit, {"event:login": event_id}, "ValueError: no")
    record = await history.event(event_id)
    assert record.valid_condition_ids == ("event:login",)
    assert record.matched_condition_ids == ("event:login",)
    assert record.trigger_run_ids == (run_id, rejected)
    assert record.invocation_ids == (invocation_of(run_id),)
    assert (record.matched, record.triggered) == (True, True)


async def test_event_of_a_rejected_run_is_matched_but_not_triggered(story: Story, history: History) -> None:
    story.lead()
    story.declare(welcome)
    event_id = story.event("login")
    story.reject(welcome, {"event:login": event_id}, "ValueError: no")
    record = await history.event(event_id)
    assert (record.matched, record.triggered, record.invocation_ids) == (True, False, ())


async def test_event_kept_by_an_and_is_matched(story: Story, history: History) -> None:
    story.lead()
    story.declare(both)
    event_id = story.event("login")
    story.evaluate((both, "event:login", event_id))
    record = await history.event(event_id)
    assert (record.matched, record.triggered) == (True, False)
    assert record.matched_condition_ids == ("event:login",)


async def test_events_are_filtered_by_outcome(story: Story, history: History) -> None:
    story.lead()
    story.declare(welcome, both)
    ignored, kept, fired = story.event("x"), story.event("paid"), story.event("login")
    story.fire(welcome, {"event:login": fired})
    story.evaluate((both, "event:paid", kept))

    async def ids(matched: bool | None = None, triggered: bool | None = None) -> list[str]:
        return [record.event_id for record in await history.events(matched=matched, triggered=triggered)]

    assert await ids() == [fired, kept, ignored]
    assert await ids(matched=True) == [fired, kept]
    assert await ids(matched=False) == [ignored]
    assert await ids(triggered=True) == [fired]
    assert await ids(triggered=False) == [kept, ignored]
    assert await ids(matched=True, triggered=False) == [kept]
    assert await ids(matched=False, triggered=True) == []
    assert [record.event_id for record in await history.events(event_code="paid", matched=True)] == [kept]
    assert not await history.events(event_code="paid", triggered=True)


async def test_outcome_is_updated_later(story: Story, history: History) -> None:
    story.lead()
    story.declare(welcome)
    event_id = story.event("login")
    assert not (await history.event(event_id)).matched
    run_id = story.fire(welcome, {"event:login": event_id})
    assert (await history.event(event_id)).trigger_run_ids == (run_id,)
    assert [record.event_id for record in await history.events(triggered=True)] == [event_id]


async def test_valid_conditions_belong_to_triggers_in_force_at_the_time(story: Story, history: History) -> None:
    story.lead()
    before = story.event("login")
    story.declare(welcome)
    listening = story.event("login")
    story.leader_entry(TriggerSuspended, trigger_id=welcome.id, slot=welcome.slot)
    suspended = story.event("login")
    story.leader_entry(TriggerResumed, trigger_id=welcome.id, slot=welcome.slot)
    resumed = story.event("login")
    story.leader_entry(TriggerRetired, trigger_id=welcome.id, slot=welcome.slot)
    retired = story.event("login")
    valid = {record.event_id: bool(record.valid_condition_ids) for record in await history.events()}
    assert valid == {before: False, listening: True, suspended: False, resumed: True, retired: False}


async def test_first_declaration_covers_earlier_events(story: Story, history: History) -> None:
    event_id = story.event("login")
    story.lead()
    story.declare(welcome, from_start=True)
    assert (await history.event(event_id)).valid_condition_ids == ("event:login",)


async def test_replaced_trigger_no_longer_listens(story: Story, history: History) -> None:
    story.lead()
    story.declare(welcome)
    story.declare(msgspec.structs.replace(welcome, id="welcome:2", conditions=(on_event("logout"),)))
    login, logout = story.event("login"), story.event("logout")
    assert (await history.event(login)).valid_condition_ids == ()
    assert (await history.event(logout)).valid_condition_ids == ("event:logout",)


async def test_time_range_is_half_open(story: Story, history: History) -> None:
    ids = [story.event() for _ in range(5)]
    found = await history.events(since=at(1), until=at(3))
    assert [record.event_id for record in found] == [ids[2], ids[1]]
    first = (await history.event(ids[4])).timestamp
    assert [record.event_id for record in await history.events(since=first)] == [ids[4]]
    assert not await history.events(until=at(0))


@pytest.mark.parametrize("time", [0.1, 1_700_000_000.1234567, 1_700_000_000.9999996])
async def test_event_is_found_by_its_own_timestamp(time: float, story: Story, history: History) -> None:
    event_id = story.event(time=time)
    moment = (await history.event(event_id)).timestamp
    assert moment == datetime.fromtimestamp(time, UTC)
    found = await history.events(since=moment, until=moment + timedelta(microseconds=1))
    assert [record.event_id for record in found] == [event_id]


async def test_log_order_wins_over_differing_clocks(story: Story, history: History) -> None:
    ahead = story.event(time=5_000_000.0)
    behind = story.event(time=10.0)
    assert [record.event_id for record in await history.events()] == [behind, ahead]
    earlier = await history.events(until=datetime.fromtimestamp(1000, UTC))
    assert [record.event_id for record in earlier] == [behind]


@pytest.mark.parametrize(
    ("text", "is_found"),
    [("ANN", True), ("42", True), ('"user":"ann', True), ("STRASSE", True), ("%", False), ("zoe", False), ("", True)],
)
async def test_text_is_searched_in_the_payload(text: str, is_found: bool, story: Story, history: History) -> None:
    story.event(payload={"user": "Ann Other", "id": 42, "street": "Hauptstraße"})
    assert len(await history.events(text=text)) == is_found


@pytest.mark.parametrize("name", ["since", "until"])
async def test_naive_time_is_rejected(name: str, history: History) -> None:
    with pytest.raises(QueryError, match=f"{name}=.* has no time zone"):
        await history.events(**{name: datetime(2025, 1, 1)})  # type: ignore[arg-type]


@pytest.mark.parametrize("limit", [0, -1, 10_001])
async def test_limit_out_of_bounds_is_rejected(limit: int, history: History) -> None:
    with pytest.raises(QueryError, match="limit="):
        await history.events(limit=limit)


async def test_unknown_event_is_an_error(history: History) -> None:
    with pytest.raises(RecordNotFound, match="event:nothing is not in the history"):
        await history.event("nothing")
    with pytest.raises(LookupError):
        await history.event("nothing")
