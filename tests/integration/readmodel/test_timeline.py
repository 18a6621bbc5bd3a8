"""The contents of a time range, and the links between them."""

from datetime import datetime

import pytest

from tests.integration.readmodel.story import Story, at, invocation_of, on_event, on_status, trigger
from trigger_engine._readmodel.history import History
from trigger_engine._readmodel.queries.timeline import (
    PER_SLICE,
    SLICES,
    TimelineRecord,
    entities,
    surroundings,
    window,
)

SHIP = trigger("ship", on_event("paid"), logic="or")
NOTIFY = trigger("notify", on_status("ship", "success"), logic="or")


async def seen(
    history: History, since: float, until: float, *, every_event: bool = False
) -> tuple[set[str], set[str], set[str]]:
    """Returns the tasks of invocations, the event codes, and the tasks of runs between two times."""
    found = await history.query(lambda snapshot: window(snapshot, at(since), at(until), every_event=every_event))
    return (
        {one.task_id for one in found.invocations},
        {one.event_code for one in found.events},
        {one.task_id for one in found.runs},
    )


async def test_window_has_everything_active_in_it(story: Story, history: History) -> None:
    long = story.register("long")  # 0
    story.start(long)  # 1
    story.event("unheard")  # 2
    story.lead()  # 3
    story.declare(SHIP, from_start=True)  # 4
    paid = story.event("paid")  # 5
    run = story.fire(SHIP, {"event:paid": paid})  # 6
    story.run(invocation_of(run))  # 7, 8
    story.register("later")  # 9
    story.succeed(long)  # 10
    assert await seen(history, 5, 8) == ({"long", "ship"}, {"paid"}, {"ship"})
    assert await seen(history, 2, 4) == ({"long"}, set(), set())
    assert await seen(history, 2, 4, every_event=True) == ({"long"}, {"unheard"}, set())
    assert await seen(history, 8, 10) == ({"long", "ship", "later"}, set(), set())
    assert await seen(history, 100, 200) == (set(), set(), set())


async def test_invocation_has_the_times_of_its_latest_attempt(story: Story, history: History) -> None:
    one = story.register("job")  # 0
    story.start(one, runner="first")  # 1
    story.retry(one)  # 2
    story.start(one, attempt=2, runner="second")  # 3
    story.succeed(one, attempt=2, runner="second")  # 4
    found = await history.query(lambda snapshot: entities(snapshot, invocation_ids=[one, "absent"]))
    (job,) = found.invocations
    assert (job.registered_at, job.started_at, job.ended_at) == (at(0), at(3), at(4))
    assert job.runner_id == "second"


@pytest.mark.parametrize("named", ["event", "run", "started", "notified"])
async def test_surroundings_link_records_of_every_kind(story: Story, history: History, named: str) -> None:
    emitter = story.register("emitter")
    story.start(emitter)
    paid = story.event("paid", emitter_task_id="emitter", emitter_invocation_id=emitter)
    story.lead()
    story.declare(SHIP, NOTIFY, from_start=True)
    run = story.fire(SHIP, {"event:paid": paid})
    started = invocation_of(run)
    done = story.run(started)
    notified = story.fire(NOTIFY, {"status:ship[success]": done})
    story.event("unrelated")
    ids = {
        "event": {"event_ids": [paid]},
        "run": {"run_ids": [run]},
        "started": {"invocation_ids": [started]},
        "notified": {"invocation_ids": [invocation_of(notified)]},
    }[named]

    found = await history.query(lambda snapshot: surroundings(snapshot, entities(snapshot, **ids), limit=50))
    assert started in {one.invocation_id for one in found.invocations}
    if named != "notified":
        assert {one.task_id for one in found.invocations} >= {"emitter", "ship"}
        assert [one.event_id for one in found.events] == [paid]
    joined = {one.run_id: one for one in found.runs}
    if named in ("event", "run", "started"):
        assert (joined[run].event_ids, joined[run].invocation_id) == ((paid,), started)
    if named in ("started", "notified"):
        assert joined[notified].source_invocation_ids == (started,)


async def test_busy_window_is_sampled_evenly(story: Story, history: History) -> None:
    count = SLICES * PER_SLICE * 2
    for number in range(count):
        story.event("tick", time=story.time + number / 100)
    await history.events(limit=1)
    first, last = story.log.decoded()[0][1].time, story.log.decoded()[-1][1].time

    def ask(since: float, until: float) -> object:
        begin, end = (datetime.fromtimestamp(time, at(0).tzinfo) for time in (since, until))
        return history.query(lambda snapshot: window(snapshot, begin, end, every_event=True))

    found = await ask(first, last + 1)  # type: ignore[misc]
    assert isinstance(found, TimelineRecord)
    assert found.sampled
    assert len(found.events) <= (SLICES + 1) * PER_SLICE
    thirds = [0, 0, 0]
    for one in found.events:
        thirds[min(int((one.timestamp.timestamp() - first) / (last - first + 1) * 3), 2)] += 1
    assert min(thirds) > len(found.events) / 4


async def test_added_timelines_have_no_duplicates(story: Story, history: History) -> None:
    one = story.event("a")
    found = await history.query(lambda snapshot: entities(snapshot, event_ids=[one]))
    assert (found + found).events == found.events
