"""The matcher agrees with the oracle for any triggers, log, batches, checkpoints and changes of leader."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.engine.leading import Checkpoint, Leader, answer, recorded_ends, recorded_failures, recorded_runs
from tests.unit.engine.oracle import Run, expected, valid_entries
from tests.unit.engine.recorded_log import Log
from tests.unit.engine.strategies import LIMITS, Script, apply, call_filter, scripts
from trigger_engine._engine.checkpoint import Snapshot, decode_snapshot
from trigger_engine._engine.decision import EndedChain, Firing
from trigger_engine._engine.matcher import Matcher


def written(script: Script) -> Log:
    """The log of a script, without the entries that a leader would append."""
    log = Log()
    log.elect()
    log.declare(*script.first, from_start=True)
    for step in script.steps:
        apply(step, log)
    return log


def run_of(outcome: Firing | EndedChain) -> tuple[str, str, bool]:
    if isinstance(outcome, EndedChain):
        return outcome.trigger.id, outcome.entry_id, True
    return outcome.trigger.id, outcome.run_id, False


def short(run: Run) -> tuple[str, str, bool]:
    return run.trigger_id, run.participants[-1][1] if run.ended else run.run_id, run.ended


@settings(max_examples=300)
@given(scripts(max_size=40), st.data())
def test_any_split_into_batches_leads_to_the_runs_of_the_oracle(script: Script, data: st.DataObject) -> None:
    log = written(script)
    matcher = Matcher(LIMITS, track_keys=True)
    found: list[tuple[str, str, bool]] = []
    failures: set[tuple[str, str]] = set()
    evaluate_after = data.draw(st.sets(st.sampled_from([position for position, _ in log.entries])))
    restore_after = data.draw(st.sets(st.sampled_from([position for position, _ in log.entries])))
    for position, entry in log.entries:
        matcher.read(position, entry)
        while matcher.unevaluated and (position in evaluate_after or position == log.tail):
            decision = matcher.evaluate(answer(matcher.questions()))
            found += [run_of(firing) for firing in decision.firings] + [run_of(chain) for chain in decision.ended]
            failures |= {(failure.condition_id, failure.entry_id) for failure in decision.failures}
        if position in restore_after:
            matcher = Matcher.restore(matcher.snapshot(), LIMITS, track_keys=True)
    wanted = expected(log.entries, LIMITS, call_filter, track_keys=True)
    assert sorted(found) == sorted(map(short, wanted.runs))
    assert failures == wanted.failures


@settings(max_examples=120)
@given(scripts(max_size=50))
def test_log_that_refuses_void_entries_leads_to_the_same_runs(script: Script) -> None:
    log = written(script)
    matcher = Matcher(LIMITS, track_keys=False)
    found: list[tuple[str, str, bool]] = []
    for position, entry in valid_entries(log.entries, track_keys=True):
        assert matcher.read(position, entry) is None
    while matcher.unevaluated:
        decision = matcher.evaluate(answer(matcher.questions()))
        found += [run_of(firing) for firing in decision.firings] + [run_of(chain) for chain in decision.ended]
    assert sorted(found) == sorted(map(short, expected(log.entries, LIMITS, call_filter, track_keys=True).runs))


@settings(max_examples=120)
@given(scripts(max_size=30))
def test_restored_matcher_equals_one_that_never_stopped(script: Script) -> None:
    log = written(script)
    steady, restored = Matcher(LIMITS, track_keys=True), Matcher(LIMITS, track_keys=True)
    for index, (position, entry) in enumerate(log.entries):
        assert steady.read(position, entry) == restored.read(position, entry)
        if index % 3 == 2:
            verdicts = answer(steady.questions())
            assert answer(restored.questions()) == verdicts
            assert steady.evaluate(verdicts) == restored.evaluate(verdicts)
        restored = Matcher.restore(restored.snapshot(), LIMITS, track_keys=True)
        assert decode_snapshot(restored.snapshot()) == decode_snapshot(steady.snapshot())


def check(log: Log) -> None:
    wanted = expected(log.entries, LIMITS, call_filter, track_keys=True)
    found, runs = Counter(recorded_runs(log)), Counter(run for run in wanted.runs if not run.ended)
    assert set(found) == set(runs)
    assert found <= runs
    assert recorded_ends(log) == sorted((run.trigger_id, run.participants[-1][1]) for run in wanted.runs if run.ended)
    assert recorded_failures(log) == wanted.failures


@pytest.mark.slow
@settings(max_examples=300)
@given(scripts(max_size=25), st.data())
def test_changing_leaders_record_the_runs_of_the_oracle_once(script: Script, data: st.DataObject) -> None:
    log = Log()
    for step in script.steps[:2]:
        apply(step, log)
    leader = Leader(log, LIMITS, script.first)
    checkpoint: Checkpoint | None = None
    unsent = []
    for step in script.steps[2:]:
        apply(step, log)
        match data.draw(st.sampled_from(["wait", "cycle", "cycle", "checkpoint", "die", "die late", "zombie"])):
            case "cycle":
                leader.cycle()
            case "checkpoint":
                leader.cycle()
                checkpoint = leader.checkpoint()
            case "die":
                leader = Leader(log, LIMITS, script.first, checkpoint, reads_first=data.draw(st.booleans()))
            case "die late":
                leader.cycle()
                leader = Leader(log, LIMITS, script.first, checkpoint, reads_first=data.draw(st.booleans()))
            case "zombie":
                leader.read()
                unsent, dead = leader.evaluate(), leader
                leader = Leader(log, LIMITS, script.first, checkpoint, reads_first=data.draw(st.booleans()))
                dead.append(unsent)
    leader.finish()
    check(log)


@settings(max_examples=50)
@given(scripts(max_size=12), st.booleans())
def test_leader_may_change_at_every_position(script: Script, with_checkpoint: bool) -> None:
    for change_at in range(len(script.steps) + 1):
        log = Log()
        leader = Leader(log, LIMITS, script.first)
        checkpoint = None
        for index, step in enumerate(script.steps):
            apply(step, log)
            if index % 2:
                leader.cycle()
                checkpoint = leader.checkpoint() if with_checkpoint and index < change_at else checkpoint
            if index == change_at:
                leader = Leader(log, LIMITS, script.first, checkpoint)
        leader.finish()
        check(log)


def collected(matcher: Matcher) -> Snapshot:
    """The contributions of a matcher, without its position."""
    snapshot = decode_snapshot(matcher.snapshot())
    assert not snapshot.queue
    return Snapshot(
        evaluated=0,
        recorded=0,
        read_upto=snapshot.read_upto,
        newest_unqueued=0,
        declared=snapshot.declared,
        declared_first=None,
        validity=snapshot.validity,
        last_ticks=snapshot.last_ticks,
        triggers=snapshot.triggers,
        cron_since=snapshot.cron_since,
        joins=snapshot.joins,
        queue=[],
        outputs=[],
        entries=snapshot.entries,
    )


@settings(max_examples=150)
@given(scripts(max_size=25), st.booleans())
def test_replay_asks_no_questions_and_ends_in_the_state_of_the_leader(script: Script, reads_first: bool) -> None:
    log = Log()
    leader = Leader(log, LIMITS, script.first)
    for index, step in enumerate(script.steps):
        apply(step, log)
        if index % 4 == 3:
            leader.cycle()
    leader.finish()
    follower = Leader(log, LIMITS, script.first, reads_first=reads_first)
    recorded = follower.matcher.recorded
    assert all(question.position > recorded for question in follower.matcher.questions())
    assert follower.evaluate() == []
    leader.read()
    assert leader.evaluate() == []
    assert collected(follower.matcher) == collected(leader.matcher)
