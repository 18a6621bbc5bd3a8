"""The matcher: what it evaluates when, and its decisions."""

from __future__ import annotations

from tests.unit.engine.declaring import on_cron, on_event, on_status, trigger
from tests.unit.engine.leading import answer, evaluated, fired, read
from tests.unit.engine.recorded_log import log_for, log_with
from trigger_engine._engine.decision import Limits
from trigger_engine._engine.lifecycle import InvocationStatus
from trigger_engine._engine.matcher import Matcher
from trigger_engine._model.entries import ContributionKept

MINUTELY = on_cron("* * * * *")
ONE, TWO = trigger(on_event("a"), slot="0"), trigger(on_event("b"), slot="0")


def test_void_entries_are_not_evaluated() -> None:
    log = log_for(on_status("m.f", *(status.value for status in InvocationStatus)), on_event("a"), MINUTELY)
    call = log.call("m.f")
    start = call.start()
    call.append("started", claim_id="another")
    first = log.event("a", key="k")
    log.event("a", key="k")
    log.tick(MINUTELY.id, 60.0, term=5)
    assert fired(log) == [(call.id,), (start,), (first,)]


def test_read_returns_why_an_entry_is_void() -> None:
    log = log_with()
    call = log.call("m.f")
    call.append("succeeded")
    assert Matcher(Limits(), track_keys=True).read(*log.entries[-1]) == "the invocation is unknown or has ended"
    matcher = read(log)
    assert matcher.read(*log.entries[-1]) == "no move from registered by Succeeded"


def test_open_and_waiting_invocations_are_counted() -> None:
    log = log_with()
    for call in [log.call("m.f") for _ in range(3)][:2]:
        call.start()
    log.calls()[0].succeed()
    matcher = read(log)
    assert (matcher.open_invocations, matcher.backlog) == (2, 1)


def test_evaluation_stops_where_the_active_triggers_change() -> None:
    log = log_with(ONE)
    log.event("a")
    log.declare(TWO)
    log.event("b")
    matcher = read(log)
    first = matcher.evaluate({})
    assert (first.upto, len(first.firings), matcher.unevaluated) == (30, 1, True)
    second = matcher.evaluate({})
    assert (second.upto, len(second.firings), matcher.unevaluated) == (50, 1, False)


def test_evaluation_covers_the_entries_of_the_questions_and_no_later_ones() -> None:
    log = log_for(on_event("a", "?truthy"))
    log.event("a", {"k": 1})
    matcher = read(log)
    verdicts = answer(matcher.questions())
    log.event("a", {"k": 1})
    log.declare(TWO)
    for position, entry in log.entries[3:]:
        matcher.read(position, entry)
    decision = matcher.evaluate(verdicts)
    assert (decision.upto, len(decision.firings), matcher.unevaluated) == (30, 1, True)
    assert len(matcher.evaluate(answer(matcher.questions())).firings) == 1


def test_verdict_is_used_once() -> None:
    log = log_for(on_event("a"))
    first = log.event("a")
    matcher = read(log)
    matcher.questions()
    assert [firing.cause for firing in matcher.evaluate({}).firings] == [first]
    second = log.event("a")
    matcher.read(*log.entries[-1])
    assert [firing.cause for firing in matcher.evaluate({}).firings] == [second]
    assert not matcher.unevaluated


def test_entry_that_matches_nothing_is_evaluated_but_not_kept() -> None:
    log = log_with(ONE)
    log.event("x")
    log.call("m.f")
    matcher = read(log)
    assert matcher.unevaluated
    decision = matcher.evaluate({})
    assert (decision.upto, decision.has_outputs, decision.worth_recording) == (40, False, True)
    assert not matcher.unevaluated


def test_entries_of_leaders_alone_are_not_worth_recording() -> None:
    log = log_for(MINUTELY)
    matcher = read(log)
    assert not matcher.unevaluated
    log.tick("cron:other", 60.0)
    log.change("suspend", trigger(MINUTELY))
    log.tick(MINUTELY.id, 60.0)
    for position, entry in log.entries[2:]:
        matcher.read(position, entry)
    assert not matcher.evaluate({}).worth_recording


def test_contributions_that_wait_are_part_of_the_decision() -> None:
    log = log_for(on_event("a"), on_event("b"), logic="and")
    waiting = log.event("a")
    [decision] = evaluated(log)
    trigger_id = trigger(on_event("a"), on_event("b"), logic="and").id
    assert decision.kept == [ContributionKept(trigger_id, on_event("a").id, waiting)]
    log.event("b")
    [decision] = evaluated(log)
    assert (decision.kept, len(decision.firings)) == ([], 1)


def test_contributions_beyond_the_limits_are_part_of_the_decision() -> None:
    log = log_for(on_event("a"), on_event("b"), logic="and")
    dropped = log.event("a")
    log.event("a")
    log.event("b")
    [decision] = evaluated(log, Limits(max_contributions=1))
    assert [one.entry_id for one in decision.kept] == [dropped]


def test_waiting_returns_the_contributions_of_each_condition() -> None:
    log = log_for(on_event("a"), on_event("b"), logic="and")
    log.event("a")
    log.event("a")
    matcher = read(log, Limits(max_contributions=1))
    matcher.evaluate({})
    trigger_id = matcher.active_triggers()[0].trigger.id
    assert [(w.condition_id, w.kept, w.partial, w.dropped) for w in matcher.waiting(trigger_id)] == [
        (on_event("a").id, 1, 0, 1), (on_event("b").id, 0, 0, 0),
    ]  # fmt: skip
    assert matcher.waiting("unknown") == ()
    assert read(log_with(ONE)).waiting(ONE.id) == ()
