"""Replay: what a leader has recorded is done again without evaluating anything."""

from __future__ import annotations

import pytest

from tests.core.declaring import on_event, on_status, trigger
from tests.core.leading import Leader, answer, recorded_runs
from tests.core.recorded_log import Log
from trigger_engine.core.checkpoint import decode_snapshot
from trigger_engine.core.judgement import Limits, compose
from trigger_engine.core.matcher import Matcher
from trigger_engine.entries.facts import EMPTY_MAP, Judged

JOIN = trigger(on_event("a", "?truthy"), on_event("b"), logic="and", slot="0")
ONE = trigger(on_event("c"), slot="2")
GROUP = trigger(on_status("m.f", "pending"), on_status("m.f", "running"), on_event("b"), logic="and", slot="1")


def led(*triggers: object) -> tuple[Log, Leader]:
    log = Log()
    return log, Leader(log, Limits(), triggers or (JOIN, GROUP))  # type: ignore[arg-type]


def successor(log: Log) -> Matcher:
    """A matcher that has read the whole log and must have nothing to ask."""
    matcher = Leader(log, Limits(), ()).matcher
    assert matcher.questions() == []
    return matcher


def test_a_recorded_no_is_not_asked_again() -> None:
    log, leader = led()
    log.event("a")
    leader.cycle()
    assert [type(entry) for _, entry in log.entries][-1] is Judged
    matcher = successor(log)
    assert [waiting.kept for waiting in matcher.waiting(JOIN.id)] == [0, 0]


def test_a_recorded_yes_waits_on() -> None:
    log, leader = led()
    first = log.event("a", {"k": 1})
    leader.cycle()
    second = log.event("b")
    leader = Leader(log, Limits(), ())
    leader.finish()
    [run] = recorded_runs(log)
    assert [entry_id for _, entry_id in run.participants] == [first, second]


def test_a_recorded_run_leaves_the_join_empty() -> None:
    log, leader = led()
    log.event("a", {"k": 1})
    leader.cycle()
    log.event("b")
    leader.cycle()
    matcher = successor(log)
    assert [waiting.kept for waiting in matcher.waiting(JOIN.id)] == [0, 0]


def test_a_group_that_was_completed_and_fired_in_one_record_leaves_no_part_behind() -> None:
    log, leader = led()
    call = log.call("m.f")
    call.claim()
    leader.cycle()
    call.start()
    log.event("b")
    leader.cycle()
    assert len(recorded_runs(log)) == 1
    assert [(w.kept, w.partial) for w in successor(log).waiting(GROUP.id)] == [(0, 0)] * 3


def test_a_run_whose_completing_entry_ends_a_partial_group_leaves_no_part_behind() -> None:
    log, leader = led()
    log.event("b")
    call = log.call("m.f")
    call.claim()
    leader.cycle()
    call.start()
    leader.cycle()
    assert len(recorded_runs(log)) == 1
    assert [(w.kept, w.partial) for w in successor(log).waiting(GROUP.id)] == [(0, 0)] * 3


def test_what_came_before_a_change_of_triggers_is_replayed_before_it() -> None:
    log, leader = led()
    log.event("a", {"k": 1})
    log.change("retire", JOIN)
    log.declare(JOIN)
    log.event("b")
    leader.cycle()
    matcher = successor(log)
    assert [waiting.kept for waiting in matcher.waiting(JOIN.id)] == [0, 1]


def test_a_judgement_of_a_former_term_counts_and_a_late_one_does_not() -> None:
    log, old = led()
    log.event("a", {"k": 1})
    old.cycle()
    log.event("b")
    old.read()
    unsent = old.judge()
    new = Leader(log, Limits(), ())
    old.append(unsent)
    assert recorded_runs(log) == []
    new.finish()
    assert len(recorded_runs(log)) == 1


def test_ones_own_record_changes_nothing_more() -> None:
    log, leader = led(JOIN, ONE)
    log.event("a", {"k": 1})
    log.event("c")
    leader.cycle()
    log.event("c")
    parts = leader.judge()
    leader.read()
    parts += leader.judge()
    before = decode_snapshot(leader.matcher.snapshot())
    leader.append(parts)
    leader.read()
    after = decode_snapshot(leader.matcher.snapshot())
    assert (after.joins, after.judged, after.outputs) == (before.joins, before.judged, [])
    assert leader.matcher.recorded == leader.matcher.judged


def test_a_record_that_lags_behind_what_is_judged_does_not_take_it_back() -> None:
    log, leader = led()
    log.event("a", {"k": 1})
    leader.read()
    parts = leader.judge()
    log.event("a", {"k": 1})
    leader.read()
    leader.judge()
    judged = leader.matcher.judged
    leader.append(parts)
    leader.read()
    assert leader.matcher.judged == judged
    assert leader.matcher.recorded < judged


def test_what_was_recorded_before_the_first_declaration_does_not_keep_it_from_reaching_back() -> None:
    log = Log()
    term = log.elect()
    log.event("c")
    log.append(Judged(id="judged", time=0.0, term=term, upto=20))
    seen = log.event("c")
    log.declare(ONE, from_start=True)
    matcher = Matcher(Limits(), track_keys=True)
    for position, entry in log.entries:
        matcher.read(position, entry)
    assert [firing.cause for firing in matcher.judge({}).firings] == [seen]


@pytest.mark.parametrize("split", range(1, 5))
def test_a_record_may_arrive_in_pieces_with_a_checkpoint_between(split: int) -> None:
    log, leader = led(JOIN, trigger(on_event("b"), slot="2"))
    log.event("a", {"k": 1})
    log.event("b")
    leader.read()
    judgement = leader.matcher.judge(answer(leader.matcher.questions()))
    assert len(judgement.firings) == 2
    arguments = {firing.run_id: EMPTY_MAP for firing in judgement.firings}
    leader.append([compose(judgement, arguments, term=leader.term, now=0.0)])
    matcher = Matcher(Limits(), track_keys=False)
    cut = len(log.entries) - split
    for position, entry in log.entries[:cut]:
        matcher.read(position, entry)
    matcher = Matcher.restore(matcher.snapshot(), Limits(), track_keys=False)
    for position, entry in log.entries[cut:]:
        matcher.read(position, entry)
    assert matcher.judged == judgement.upto
    assert [waiting.kept for waiting in matcher.waiting(JOIN.id)] == [0, 0]


def test_what_is_recorded_of_triggers_and_entries_that_are_gone_is_passed_over() -> None:
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
    assert matcher.judged == last.upto
