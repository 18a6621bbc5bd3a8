"""The audit finds every corruption of a healthy log."""

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from tests.integration.audit.list_log import Entries, ListLog, change, find, insert, spread
from tests.integration.audit.mixed_app import EVENTS, arrive, declare
from tests.support.apps import on_memory
from trigger_engine._audit.auditing import audit
from trigger_engine._audit.join_state import AuditLimits
from trigger_engine._audit.report import AuditReport
from trigger_engine._audit.user_code import UserCode
from trigger_engine._model.entries import (
    ChainEnded,
    ContributionKept,
    CronTicked,
    EventEmitted,
    FilterFailed,
    InvocationRegistered,
    Judged,
    LeaderElected,
    Participant,
    Started,
    Succeeded,
    TriggerFired,
    TriggerRejected,
    TriggersDeclared,
)
from trigger_engine._model.ids import derive, run_id, run_invocation_id
from trigger_engine.backend._contract import Cursor
from trigger_engine.testing import TestEngine

Corrupt = Callable[[Entries], Any]
LIMITS = AuditLimits(max_chain_length=5)
OTHER = b"\x81\xa6number\x07"


async def healthy() -> tuple[Entries, UserCode]:
    """Returns a dense log with every kind of entry, and the code of its app."""
    app = on_memory(max_chain_length=5)
    declare(app)
    async with TestEngine(app, allow_failures=True) as engine:
        await app.emit_events(EVENTS)
        await engine.run_until_idle()
        await engine.advance(minutes=1)
        await arrive(app)
        await engine.run_until_idle()
        log = (await app._internals.connections.session()).log
        found = (await log.follow(Cursor((await log.start()).log_id, 0), limit=10_000)).entries
    return found, UserCode.of_app(app)


async def audited(corrupt: Corrupt, *, refuses_void: bool = True) -> AuditReport:
    dense, code = await healthy()
    entries = spread(dense)
    assert (await audit(ListLog(entries), code=code, limits=LIMITS)).violations == ()
    corrupt(entries)
    return await audit(ListLog(entries, refuses_void=refuses_void), code=code, limits=LIMITS)


def found(report: AuditReport) -> set[tuple[str, str]]:
    return {(violation.check, violation.problem) for violation in report.violations}


def of_task(task_id: str) -> Callable[[Any], bool]:
    return lambda entry: bool(entry.task_id == task_id)


def keeps(entry: Any) -> bool:
    return bool(entry.kept)


def drop_event(entries: Entries) -> None:
    del entries[find(entries, EventEmitted, lambda e: e.event_code == "order")]


def drop_driver(entries: Entries) -> None:
    del entries[find(entries, EventEmitted, lambda e: e.event_code == "driver")]


def drop_start(entries: Entries) -> None:
    del entries[find(entries, Started)]


def drop_registration(entries: Entries) -> None:
    del entries[find(entries, InvocationRegistered)]


def drop_election(entries: Entries) -> None:
    del entries[find(entries, LeaderElected)]


def drop_declaration(entries: Entries) -> None:
    del entries[find(entries, TriggersDeclared)]


def drop_decision(entries: Entries) -> None:
    last = max(at for at, (_, entry) in enumerate(entries) if isinstance(entry, (TriggerFired, TriggerRejected)))
    del entries[find(entries[last:], Judged) + last :]


def drop_run(entries: Entries) -> None:
    at = find(entries, TriggerFired, of_task("load"))
    invocation_id = entries[at][1].invocation_id  # type: ignore[union-attr]
    entries[:] = [item for item in entries if getattr(item[1], "invocation_id", None) != invocation_id]


def drop_rejected(entries: Entries) -> None:
    del entries[find(entries, TriggerRejected)]


def drop_end_of_chain(entries: Entries) -> None:
    del entries[find(entries, ChainEnded)]


def drop_failed_filter(entries: Entries) -> None:
    del entries[find(entries, FilterFailed)]


def drop_kept(entries: Entries) -> None:
    at = find(entries, Judged, keeps)
    change(entries, at, kept=entries[at][1].kept[1:])  # type: ignore[union-attr]


def keep_unmet_contribution(entries: Entries) -> None:
    at = find(entries, Judged, keeps)
    kept = entries[at][1].kept  # type: ignore[union-attr]
    payload = msgspec.Raw(msgspec.msgpack.encode({"weight": 900}))
    heavy = entries[find(entries, EventEmitted, lambda e: e.payload == payload)]
    one = ContributionKept(kept[0].trigger_id, kept[0].condition_id, heavy[1].id)
    change(entries, at, kept=(*kept, one))


def keep_unknown_entry(entries: Entries) -> None:
    at = find(entries, Judged, keeps)
    kept = entries[at][1].kept  # type: ignore[union-attr]
    change(entries, at, kept=(*kept, ContributionKept(kept[0].trigger_id, kept[0].condition_id, "nothing")))


def repeat_event(entries: Entries) -> None:
    at = find(entries, EventEmitted, lambda e: e.event_code == "nobody listens")
    insert(entries, at + 1, entries[at][1])


def repeat_run(entries: Entries) -> None:
    at = find(entries, TriggerFired, of_task("load"))
    insert(entries, at + 1, entries[at][1])


def repeat_tick(entries: Entries) -> None:
    at = find(entries, CronTicked)
    insert(entries, at + 1, entries[at][1])


def change_participant(entries: Entries) -> None:
    at = find(entries, TriggerFired, of_task("load"))
    first, *others = entries[at][1].participants  # type: ignore[union-attr]
    change(entries, at, participants=(Participant(first.condition_id, "another"), *others))


def fire_without_a_participant(entries: Entries) -> None:
    at = find(entries, TriggerFired, of_task("load"))
    run = entries[at][1]
    assert isinstance(run, TriggerFired)
    fewer = run.participants[1:]
    new_id = run_id(run.trigger_id, [one.entry_id for one in fewer])
    invocation_id = run_invocation_id(new_id)
    for place, (_, entry) in enumerate(entries):
        if getattr(entry, "invocation_id", None) == run.invocation_id and place != at:
            claim = getattr(entry, "claim_id", "")
            assert claim
            change(entries, place, invocation_id=invocation_id)
    change(entries, at, participants=fewer, id=new_id, invocation_id=invocation_id)


def fire_without_cause(entries: Entries) -> None:
    toy = find(entries, EventEmitted, lambda e: e.event_code == "order" and b"toy" in bytes(e.payload))
    at = find(entries, TriggerFired, of_task("order"))
    run = entries[at][1]
    assert isinstance(run, TriggerFired)
    event_id = entries[toy][1].id
    new_id = run_id(run.trigger_id, [event_id])
    (participant,) = run.participants
    invented = msgspec.structs.replace(
        run,
        id=new_id,
        invocation_id=run_invocation_id(new_id),
        cause=event_id,
        participants=(Participant(participant.condition_id, event_id),),
    )
    insert(entries, at, invented)


def fire_on_nothing(entries: Entries) -> None:
    at = find(entries, TriggerFired, of_task("order"))
    run = entries[at][1]
    assert isinstance(run, TriggerFired)
    new_id = run_id(run.trigger_id, ["nothing"])
    participants = (Participant(run.participants[0].condition_id, "nothing"),)
    changes: dict[str, Any] = {"invocation_id": run_invocation_id(new_id), "cause": "nothing", "depth": 1}
    insert(entries, at, msgspec.structs.replace(run, id=new_id, participants=participants, **changes))


def fire_after_the_last_decision(entries: Entries) -> None:
    at = find(entries, TriggerFired, of_task("order"))
    run = entries[at][1]
    assert isinstance(run, TriggerFired)
    invocation_id = run_invocation_id("x")
    entries.append((entries[-1][0] + 1, msgspec.structs.replace(run, id="x", invocation_id=invocation_id)))


def fail_a_filter_without_an_entry(entries: Entries) -> None:
    at = find(entries, FilterFailed)
    failure = entries[at][1]
    assert isinstance(failure, FilterFailed)
    new_id = derive("filter-failed", failure.condition_id, "nothing", failure.filter)
    insert(entries, at, msgspec.structs.replace(failure, id=new_id, entry_id="nothing"))


def changed(kind: type[Any], matches: Callable[[Any], bool] = lambda entry: True, **changes: Any) -> Corrupt:
    return lambda entries: change(entries, find(entries, kind, matches), **changes)


def end_twice(entries: Entries) -> None:
    at = find(entries, Succeeded)
    entry = entries[at][1]
    insert(entries, at + 1, msgspec.structs.replace(entry, id=f"{entry.id}-again"))


def start_by_two(entries: Entries) -> None:
    at = find(entries, Started)
    changes = {"id": "other:started", "claim_id": "other"}
    insert(entries, at + 1, msgspec.structs.replace(entries[at][1], **changes))


def elect_another(entries: Entries) -> None:
    at = find(entries, TriggerFired, of_task("load"))
    insert(entries, at, LeaderElected(id="usurper", time=0.0, name="match", runner_id="usurper"))


def evaluate_backwards(entries: Entries) -> None:
    evaluated = [at for at, (_, entry) in enumerate(entries) if isinstance(entry, Judged)]
    change(entries, evaluated[-1], upto=1)


def evaluate_ahead(entries: Entries) -> None:
    change(entries, find(entries, Judged), upto=entries[-1][0])


def swap(entries: Entries) -> None:
    entries[3], entries[4] = entries[4], entries[3]


CORRUPTIONS: dict[str, tuple[Corrupt, str, str]] = {
    "an event is missing": (drop_event, "runs", "a run without a cause in the log"),
    "an event of a join is missing": (drop_driver, "runs", "wrong participants"),
    "a start is missing": (drop_start, "void entries", "move not allowed"),
    "a registration is missing": (drop_registration, "void entries", "unknown invocation"),
    "an election is missing": (drop_election, "void entries", "stale term"),
    "a declaration is missing": (drop_declaration, "runs", "a run without a cause in the log"),
    "the last decision is missing": (drop_decision, "decisions", "no decision follows it"),
    "a run is missing": (drop_run, "outcomes", "it completes load"),
    "a rejected run is missing": (drop_rejected, "outcomes", "it completes broken"),
    "a chain end is missing": (drop_end_of_chain, "outcomes", "it completes loop"),
    "a failed filter is missing": (drop_failed_filter, "filters", "raises, but the failure was not recorded"),
    "a kept contribution is missing": (drop_kept, "contributions", "but no contribution was recorded"),
    "a kept contribution does not pass its filter": (keep_unmet_contribution, "contributions", "it is kept for load"),
    "a kept contribution has no entry": (keep_unknown_entry, "contributions", "that no entry made"),
    "an event is duplicated": (repeat_event, "unique ids", "an earlier entry has the same id"),
    "a run is duplicated": (repeat_run, "void entries", "already registered"),
    "a tick is duplicated": (repeat_tick, "unique ids", "an earlier entry has the same id"),
    "a participant is wrong": (change_participant, "runs", "wrong participants"),
    "an AND fired without a participant": (fire_without_a_participant, "runs", "wrong participants"),
    "a filter was ignored": (fire_without_cause, "runs", "without cause"),
    "a run has no cause": (fire_on_nothing, "runs", "a run without a cause in the log"),
    "a run follows the last decision": (fire_after_the_last_decision, "decisions", "no decision follows it"),
    "a failed filter has no entry": (fail_a_filter_without_an_entry, "contributions", "that no entry called"),
    "the id of a run is wrong": (changed(TriggerFired, id="x"), "derived ids", "wrong id"),
    "the id of an invocation is wrong": (
        changed(TriggerFired, invocation_id="x"),
        "derived ids",
        "wrong invocation id",
    ),
    "the id of a registration is wrong": (changed(InvocationRegistered, id="x"), "derived ids", "wrong id"),
    "the id of a status is wrong": (changed(Succeeded, id="x"), "derived ids", "wrong id"),
    "the id of a tick is wrong": (changed(CronTicked, id="x"), "derived ids", "wrong id"),
    "the id of a decision is wrong": (changed(Judged, id="x"), "derived ids", "wrong id"),
    "the id of a failed filter is wrong": (changed(FilterFailed, id="x"), "derived ids", "wrong id"),
    "the id of a chain end is wrong": (changed(ChainEnded, id="x"), "derived ids", "wrong id"),
    "the task of a run is wrong": (changed(TriggerFired, task_id="x"), "runs", "wrong task"),
    "the slot of a run is wrong": (changed(TriggerFired, slot="x"), "runs", "wrong slot"),
    "the queue of a run is wrong": (changed(TriggerFired, queue="x"), "runs", "wrong queue"),
    "the depth of a run is wrong": (changed(TriggerFired, depth=7), "runs", "wrong depth"),
    "a run has the wrong dropped count": (changed(TriggerFired, dropped=7), "runs", "wrong dropped contributions"),
    "a status belongs to another call": (
        changed(Succeeded, arguments=msgspec.Raw(OTHER)),
        "invocations",
        "its task, arguments or depth differ from its registration",
    ),
    "an attempt is skipped": (changed(Succeeded, attempt=3), "void entries", "move not allowed"),
    "an invocation ends twice": (end_twice, "void entries", "unknown invocation"),
    "two runners claim an invocation": (start_by_two, "void entries", "move not allowed"),
    "a former leader fires": (elect_another, "void entries", "stale term"),
    "the term of a run is wrong": (changed(TriggerFired, term=1), "void entries", "stale term"),
    "a decision goes back": (evaluate_backwards, "decisions", "it covers entries that were already evaluated"),
    "a decision is ahead of the log": (evaluate_ahead, "decisions", "that it cannot have read"),
    "positions do not increase": (swap, "positions", "positions do not increase"),
}


@pytest.mark.parametrize(("corrupt", "check", "problem"), CORRUPTIONS.values(), ids=CORRUPTIONS.keys())
async def test_audit_finds_that(corrupt: Corrupt, check: str, problem: str) -> None:
    report = await audited(corrupt)
    assert not report.consistent
    assert any(one == check and problem in text for one, text in found(report)), found(report)


async def test_a_gap_between_positions_is_found_in_a_dense_log() -> None:
    entries, code = await healthy()
    del entries[find(entries, EventEmitted, lambda e: e.event_code == "nobody listens")]
    report = await audit(ListLog(entries, dense_positions=True), code=code, limits=LIMITS)
    (violation,) = report.violations
    assert (violation.check, violation.problem) == ("positions", "a gap precedes it")
    assert (await audit(ListLog(entries), code=code, limits=LIMITS)).consistent


@pytest.mark.parametrize(
    ("corrupt", "reason"),
    [(end_twice, "unknown invocation"), (start_by_two, "move not allowed"), (repeat_tick, "duplicate")],
)
async def test_void_entries_are_only_counted_if_the_log_may_store_them(corrupt: Corrupt, reason: str) -> None:
    report = await audited(corrupt, refuses_void=False)
    assert report.violations == ()
    assert report.void == {reason: 1}


async def test_a_run_of_a_former_leader_is_void_and_reported_as_missing() -> None:
    report = await audited(changed(TriggerFired, of_task("load"), term=1), refuses_void=False)
    assert report.void == {"stale term": 1, "unknown invocation": 2}
    (violation,) = [one for one in report.violations if one.check == "outcomes"]
    assert (violation.expected, violation.found) == ("a run", "nothing")


async def test_violation_has_its_position_and_the_expected_value() -> None:
    report = await audited(changed(TriggerFired, of_task("load"), queue="elsewhere"))
    (violation,) = report.violations
    assert report.violation_counts == {"runs": 1}
    assert (violation.problem, violation.expected, violation.found) == ("wrong queue", "default", "elsewhere")
    assert violation.entry_id
    assert violation.position % 10 == 0
