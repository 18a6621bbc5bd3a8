"""Replay: applies what a leader has recorded, without evaluating anything."""

from __future__ import annotations

import pytest

from tests.unit.engine.declaring import on_event, on_status, trigger
from tests.unit.engine.leading import Leader, answer, recorded_runs
from tests.unit.engine.recorded_log import Log
from trigger_engine._engine.checkpoint import decode_snapshot
from trigger_engine._engine.decision import Limits, compose
from trigger_engine._engine.matcher import Matcher
from trigger_engine._model.entries import EMPTY_MAP, Judged

JOIN = trigger(on_event("a", "?truthy"), on_event("b"), logic="and", slot="0")
ONE = trigger(on_event("c"), slot="2")
GROUP = trigger(on_status("m.f", "pending"), on_status("m.f", "running"), on_event("b"), logic="and", slot="1")


def led(*triggers: object) -> tuple[Log, Leader]:
    log = Log()
    return log, Leader(log, Limits(), triggers or (JOIN, GROUP))  # type: ignore[arg-type]


def successor(log: Log) -> Matcher:
    """A matcher that has read the whole log and has no questions."""
    matcher = Leader(log, Limits(), ()).matcher
    assert matcher.questions() == []
    return matcher


def test_recorded_negative_verdict_is_not_asked_again() -> None:
    log, leader = led()
    log.event("a")
    leader.cycle()
    assert [type(entry) for _, entry in log.entries][-1] is Judged
    matcher = successor(log)
    assert [waiting.kept for waiting in matcher.waiting(JOIN.id)] == [0, 0]


def test_recorded_contribution_keeps_waiting() -> None:
    log, leader = led()
    first = log.event("a", {"k": 1})
    leader.cycle()
    second = log.event("b")
    leader = Leader(log, Limits(), ())
    leader.finish()
    [run] = recorded_runs(log)
    assert [entry_id for _, entry_id in run.participants] == [first, second]


def test_recorded_run_empties_the_join() -> None:
    log, leader = led()
    log.event("a", {"k": 1})
    leader.cycle()
    log.event("b")
    leader.cycle()
    matcher = successor(log)
    assert [waiting.kept for waiting in matcher.waiting(JOIN.id)] == [0, 0]


def test_group_completed_and_fired_in_one_record_leaves_nothing_behind() -> None:
    log, leader = led()
    call = log.call("m.f")
    call.claim()
    leader.cycle()
    call.start()
    log.event("b")
    leader.cycle()
    assert len(recorded_runs(log)) == 1
    assert [(w.kept, w.partial) for w in successor(log).waiting(GROUP.id)] == [(0, 0)] * 3


def test_run_completed_by_an_entry_of_a_partial_group_removes_that_group() -> None:
    log, leader = led()
    log.event("b")
    call = log.call("m.f")
    call.claim()
    leader.cycle()
    call.start()
    leader.cycle()
    assert len(recorded_runs(log)) == 1
    assert [(w.kept, w.partial) for w in successor(log).waiting(GROUP.id)] == [(0, 0)] * 3


def test_entries_before_a_change_of_triggers_are_replayed_before_it() -> None:
    log, leader = led()
    log.event("a", {"k": 1})
    log.change("retire", JOIN)
    log.declare(JOIN)
    log.event("b")
    leader.cycle()
    matcher = successor(log)
    assert [waiting.kept for waiting in matcher.waiting(JOIN.id)] == [0, 1]


def test_decision_of_an_earlier_term_counts_unless_it_is_late() -> None:
    log, old = led()
    log.event("a", {"k": 1})
    old.cycle()
    log.event("b")
    old.read()
    unsent = old.evaluate()
    new = Leader(log, Limits(), ())
    old.append(unsent)
    assert recorded_runs(log) == []
    new.finish()
    assert len(recorded_runs(log)) == 1


def test_own_record_changes_nothing() -> None:
    log, leader = led(JOIN, ONE)
    log.event("a", {"k": 1})
    log.event("c")
    leader.cycle()
    log.event("c")
    parts = leader.evaluate()
    leader.read()
    parts += leader.evaluate()
    before = decode_snapshot(leader.matcher.snapshot())
    leader.append(parts)
    leader.read()
    after = decode_snapshot(leader.matcher.snapshot())
    assert (after.joins, after.evaluated, after.outputs) == (before.joins, before.evaluated, [])
    assert leader.matcher.recorded == leader.matcher.evaluated


def test_older_record_does_not_undo_evaluation() -> None:
    log, leader = led()
    log.event("a", {"k": 1})
    leader.read()
    parts = leader.evaluate()
    log.event("a", {"k": 1})
    leader.read()
    leader.evaluate()
    evaluated = leader.matcher.evaluated
    leader.append(parts)
    leader.read()
    assert leader.matcher.evaluated == evaluated
    assert leader.matcher.recorded < evaluated


def test_first_declaration_covers_events_recorded_before_it() -> None:
    log = Log()
    term = log.elect()
    log.event("c")
    log.append(Judged(id="judged", time=0.0, term=term, upto=20))
    seen = log.event("c")
    log.declare(ONE, from_start=True)
    matcher = Matcher(Limits(), track_keys=True)
    for position, entry in log.entries:
        matcher.read(position, entry)
    assert [firing.cause for firing in matcher.evaluate({}).firings] == [seen]


@pytest.mark.parametrize("split", range(1, 5))
def test_record_may_arrive_in_pieces_with_a_checkpoint_between(split: int) -> None:
    log, leader = led(JOIN, trigger(on_event("b"), slot="2"))
    log.event("a", {"k": 1})
    log.event("b")
    leader.read()
    decision = leader.matcher.evaluate(answer(leader.matcher.questions()))
    assert len(decision.firings) == 2
    arguments = {firing.run_id: EMPTY_MAP for firing in decision.firings}
    leader.append([compose(decision, arguments, term=leader.term, now=0.0)])
    matcher = Matcher(Limits(), track_keys=False)
    cut = len(log.entries) - split
    for position, entry in log.entries[:cut]:
        matcher.read(position, entry)
    matcher = Matcher.restore(matcher.snapshot(), Limits(), track_keys=False)
    for position, entry in log.entries[cut:]:
        matcher.read(position, entry)
    assert matcher.evaluated == decision.upto
    assert [waiting.kept for waiting in matcher.waiting(JOIN.id)] == [0, 0]


def test_record_of_removed_triggers_and_entries_is_ignored() -> None:
    log, leader = led()
    log.event("a", {"k": 1})
    leader.cycle()
    last = log.entries[-1][1]
    assert isinstance(last, Judged)
    matcher = Matcher(Limits(), track_keys=True)
    for position, entry in log.entries[:-1]:
        if position != 20:
            matcher.read(position, entry)
    assert matcher.read(log.tail, last) is None
    assert matcher.evaluated == last.upto
