"""Logs whose beginning was trimmed."""

from pathlib import Path

import msgspec

from tests.integration.readmodel.stored_log import StoredLog
from tests.integration.readmodel.story import Story, invocation_of, on_event, on_status, raw, trigger
from trigger_engine._engine.decision import Limits
from trigger_engine._engine.lifecycle import InvocationState, InvocationStatus, status_entry
from trigger_engine._engine.matcher import Matcher
from trigger_engine._engine.validity import Validity
from trigger_engine._model.entries import AnyEntry, InvocationEntry, Recovered, Started, Succeeded
from trigger_engine._readmodel.history import History
from trigger_engine.backend._contract import Checkpoint, Invocation

RUNNING = InvocationState(InvocationStatus.RUNNING, claim_id="claim", runner_id="runner")
welcome = trigger("welcome", on_event("login"))
both = trigger("both", on_event("login"), on_event("paid"))
group = trigger("group", on_status("pack", "running"), on_status("pack", "success"), on_event("paid"))


def history_of(log: StoredLog, folder: Path) -> History:
    return History(log, app_id="shop", location="a list", cache_folder=folder)


def checkpoint(log: StoredLog) -> None:
    """Saves the checkpoint of a leader that has read everything."""
    matcher = Matcher(Limits(), track_keys=True)
    for position, entry in log.decoded():
        matcher.read(position, entry)
    log.checkpoint = Checkpoint(term=1, cursor=log.cursor(log.last), data=matcher.snapshot())


def remember(log: StoredLog, invocation_id: str) -> None:
    """Stores the current state of an invocation in the log, independently of its entries."""
    validity = Validity(track_keys=False)
    latest: AnyEntry | None = None
    for position, entry in log.decoded():
        validity.read(position, entry)
        if isinstance(entry, InvocationEntry) and entry.invocation_id == invocation_id:
            latest = entry
    assert latest is not None
    at = next(at for at, entry in log.decoded() if getattr(entry, "invocation_id", None) == invocation_id)
    log.stored[invocation_id] = Invocation(log.registration(invocation_id), at, validity.open[invocation_id], latest)


async def test_history_keeps_trimmed_entries_it_has_read(log: StoredLog, story: Story, history: History) -> None:
    for _ in range(5):
        story.event()
    await history.events()
    log.cut(3)
    story.event()
    assert len(await history.events()) == 6
    assert (await history.overview()).void == 0


async def test_history_continues_after_a_gap(log: StoredLog, story: Story, history: History) -> None:
    first = story.event("first")
    invocation_id = story.register()
    story.start(invocation_id, claim="one")
    assert len(await history.events()) == 1
    story.recover(invocation_id, claim="one")
    story.event("missed")
    story.start(invocation_id, claim="two", runner="other")
    remember(log, invocation_id)
    log.trimmed = 6
    del log.entries[4], log.entries[5], log.entries[6]
    story.succeed(invocation_id, "done", claim="two", runner="other")
    last = story.event("last")
    assert [record.event_id for record in await history.events()] == [last, first]
    record = await history.invocation(invocation_id)
    assert (record.status, record.result, record.runner_id) == (InvocationStatus.SUCCESS, "done", "other")
    assert not await history.void()


async def test_invocations_that_ended_in_the_gap_are_removed(log: StoredLog, story: Story, history: History) -> None:
    story.lead()
    story.declare(welcome)
    run_id = story.fire(welcome, {"event:login": story.event("login")})
    keyed = story.register("task", keyed=True)
    assert (await history.overview()).invocations[InvocationStatus.REGISTERED] == 2
    story.run(invocation_of(run_id))
    story.run(keyed)
    story.event("missed")
    log.cut(log.last)
    story.register("task", id=keyed, keyed=True)
    story.event("last")
    assert not await history.invocations()
    assert not await history.trigger_runs()
    overview = await history.overview()
    assert (overview.trigger_runs, overview.invocations[InvocationStatus.REGISTERED], overview.void) == (0, 0, 1)


async def test_invocations_that_moved_in_the_gap_are_updated_from_the_log(
    log: StoredLog, story: Story, history: History
) -> None:
    first, second, third = story.register(), story.register(), story.register()
    story.start(second, claim="one")
    assert (await history.overview()).invocations[InvocationStatus.REGISTERED] == 2
    story.start(first, claim="two", runner="other")
    story.retry(second, claim="one")
    story.event("missed")
    for each in (first, second, third):
        remember(log, each)
    log.cut(log.last)
    story.event("last")
    record = await history.invocation(first)
    assert (record.status, record.runner_id) == (InvocationStatus.RUNNING, "other")
    record = await history.invocation(second)
    assert (record.status, record.exception_message) == (InvocationStatus.RETRY, "not yet")
    assert (await history.invocation(third)).status is InvocationStatus.REGISTERED
    overview = await history.overview()
    counts = [overview.invocations[each] for each in (InvocationStatus.RUNNING, InvocationStatus.RETRY)]
    assert (counts, overview.invocations[InvocationStatus.REGISTERED], overview.void) == ([1, 1], 1, 0)


async def test_entries_about_trimmed_ones_are_valid_after_a_gap(log: StoredLog, story: Story, tmp_path: Path) -> None:
    story.lead()
    story.declare(welcome)
    invocation_id = story.register("task", {"x": 1})
    started = story.start(invocation_id, claim="claim")
    registration = log.registration(invocation_id)
    event_id = story.event("login")
    remember(log, invocation_id)
    log.cut(4)
    run_id = story.fire(welcome, {"event:login": event_id})
    story.add(status_entry(Succeeded, registration, RUNNING, now=story.time, cause="", result=raw(7)))
    async with history_of(log, tmp_path) as history:
        record = await history.invocation(invocation_id)
        assert (record.status, record.result, record.arguments) == (InvocationStatus.SUCCESS, 7, {"x": 1})
        assert (record.registered_at, record.queue) == (None, None)
        assert (await history.trigger_run(run_id)).participants[0].entry_id == event_id
        assert not await history.void()
        assert started not in [status.entry_id for status in record.statuses]


async def test_void_start_after_a_trimmed_one_does_not_hide_the_end(
    log: StoredLog, story: Story, tmp_path: Path
) -> None:
    invocation_id = story.register("task", {"x": 1})
    story.start(invocation_id, claim="claim")
    registration = log.registration(invocation_id)
    remember(log, invocation_id)
    log.cut(log.last)
    late = msgspec.structs.replace(RUNNING, claim_id="late", runner_id="other")
    story.add(status_entry(Started, registration, late, now=story.time, cause=""))
    story.add(status_entry(Succeeded, registration, RUNNING, now=story.time, cause="", result=raw(7)))
    story.add(status_entry(Recovered, registration, late, now=story.time, cause=""))
    async with history_of(log, tmp_path) as history:
        record = await history.invocation(invocation_id)
        assert (record.status, record.result) == (InvocationStatus.SUCCESS, 7)


async def test_late_report_does_not_restore_a_trimmed_invocation(log: StoredLog, story: Story, tmp_path: Path) -> None:
    invocation_id = story.register()
    registration = log.registration(invocation_id)
    log.cut(log.last)
    late = story.add(status_entry(Succeeded, registration, RUNNING, now=story.time, cause="", result=raw(7)))
    async with history_of(log, tmp_path) as history:
        assert not await history.invocations()
        assert [each.entry_id for each in await history.void()] == [late]


async def test_entries_of_an_older_term_are_void_after_a_gap(log: StoredLog, story: Story, tmp_path: Path) -> None:
    old = story.lead()
    new = story.lead()
    first, second = story.event("login"), story.event("login")
    log.cut(2)
    story.fire(welcome, {"event:login": first})
    story.term = old
    stale = story.fire(welcome, {"event:login": second})
    story.term = new
    async with history_of(log, tmp_path) as history:
        assert [record.entry_id for record in await history.void()] == [stale]


async def test_checkpoint_restores_trimmed_state(log: StoredLog, story: Story, tmp_path: Path) -> None:
    story.lead()
    story.declare(welcome, both, group, from_start=True)
    login = story.event("login")
    running = story.start(story.register("pack", {"n": 1}, id="pack-1"))
    story.evaluate((both, "event:login", login), (group, "status:pack[running]", running))
    late = story.event("login")
    story.evaluate((both, "event:login", late))
    checkpoint(log)
    registration = log.registration("pack-1")
    log.stored["pack-1"] = Invocation(registration, 4, InvocationState(), registration)
    log.cut(6)
    async with history_of(log, tmp_path) as history:
        records = {record.trigger_id: record for record in await history.triggers()}
        assert {record.state for record in records.values()} == {"active"}
        assert records[both.id].waiting == {"event:login": 2, "event:paid": 0}
        assert records[group.id].partial == {"status:pack[running]": 1}
        assert (await history.event(late)).valid_condition_ids == ("event:login",)
        record = await history.invocation("pack-1")
        assert (record.status, record.arguments) == (InvocationStatus.RUNNING, {"n": 1})
        run_id = story.fire(both, {"event:login": late, "event:paid": story.event("paid")})
        assert (await history.trigger_run(run_id)).invocation_id == invocation_of(run_id)
        records = {record.trigger_id: record for record in await history.triggers()}
        assert records[both.id].waiting == {"event:login": 0, "event:paid": 0}
        assert not await history.void()


async def test_unreadable_checkpoint_is_ignored(log: StoredLog, story: Story, tmp_path: Path) -> None:
    story.event()
    event_id = story.event()
    log.checkpoint = Checkpoint(term=1, cursor=log.cursor(2), data=b"\xff")
    log.cut(1)
    async with history_of(log, tmp_path) as history:
        assert [record.event_id for record in await history.events()] == [event_id]
