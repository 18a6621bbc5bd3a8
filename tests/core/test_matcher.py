"""What is judged when, and what is said of it."""

from __future__ import annotations

from tests.core.declaring import on_cron, on_event, on_status, trigger
from tests.core.leading import answer, fired, judged, read
from tests.core.recorded_log import log_for, log_with
from trigger_engine.core.judgement import Limits
from trigger_engine.core.lifecycle import InvocationStatus
from trigger_engine.core.matcher import Matcher
from trigger_engine.entries.facts import ContributionKept

MINUTELY = on_cron("* * * * *")
ONE, TWO = trigger(on_event("a"), slot="0"), trigger(on_event("b"), slot="0")


def test_void_entries_are_not_judged() -> None:
    log = log_for(on_status("m.f", *(status.value for status in InvocationStatus)), on_event("a"), MINUTELY)
    call = log.call("m.f")
    start = call.start()
    call.append("started", claim_id="another")
    first = log.event("a", key="k")
    log.event("a", key="k")
    log.tick(MINUTELY.id, 60.0, term=5)
    assert fired(log) == [(call.id,), (start,), (first,)]


def test_reading_says_why_an_entry_is_void() -> None:
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


def test_judging_stops_where_the_triggers_in_force_change() -> None:
    log = log_with(ONE)
    log.event("a")
    log.declare(TWO)
    log.event("b")
    matcher = read(log)
    first = matcher.judge({})
    assert (first.upto, len(first.firings), matcher.unjudged) == (30, 1, True)
    second = matcher.judge({})
    assert (second.upto, len(second.firings), matcher.unjudged) == (50, 1, False)


def test_judging_covers_what_was_asked_and_not_what_was_read_since() -> None:
    log = log_for(on_event("a", "?truthy"))
    log.event("a", {"k": 1})
    matcher = read(log)
    verdicts = answer(matcher.questions())
    log.event("a", {"k": 1})
    log.declare(TWO)
    for position, entry in log.entries[3:]:
        matcher.read(position, entry)
    judgement = matcher.judge(verdicts)
    assert (judgement.upto, len(judgement.firings), matcher.unjudged) == (30, 1, True)
    assert len(matcher.judge(answer(matcher.questions())).firings) == 1


def test_an_answer_is_used_once() -> None:
    log = log_for(on_event("a"))
    first = log.event("a")
    matcher = read(log)
    matcher.questions()
    assert [firing.cause for firing in matcher.judge({}).firings] == [first]
    second = log.event("a")
    matcher.read(*log.entries[-1])
    assert [firing.cause for firing in matcher.judge({}).firings] == [second]
    assert not matcher.unjudged


def test_what_matches_nothing_is_judged_without_being_kept() -> None:
    log = log_with(ONE)
    log.event("x")
    log.call("m.f")
    matcher = read(log)
    assert matcher.unjudged
    judgement = matcher.judge({})
    assert (judgement.upto, judgement.has_outputs, judgement.worth_recording) == (40, False, True)
    assert not matcher.unjudged


def test_what_only_leaders_wrote_is_not_worth_recording() -> None:
    log = log_for(MINUTELY)
    matcher = read(log)
    assert not matcher.unjudged
    log.tick("cron:other", 60.0)
    log.change("suspend", trigger(MINUTELY))
    log.tick(MINUTELY.id, 60.0)
    for position, entry in log.entries[2:]:
        matcher.read(position, entry)
    assert not matcher.judge({}).worth_recording


def test_what_an_and_keeps_waiting_is_said_for_the_record() -> None:
    log = log_for(on_event("a"), on_event("b"), logic="and")
    waiting = log.event("a")
    [judgement] = judged(log)
    trigger_id = trigger(on_event("a"), on_event("b"), logic="and").id
    assert judgement.kept == [ContributionKept(trigger_id, on_event("a").id, waiting)]
    log.event("b")
    [judgement] = judged(log)
    assert (judgement.kept, len(judgement.firings)) == ([], 1)


def test_contributions_beyond_the_limits_are_said_for_the_record() -> None:
    log = log_for(on_event("a"), on_event("b"), logic="and")
    dropped = log.event("a")
    log.event("a")
    log.event("b")
    [judgement] = judged(log, Limits(max_contributions=1))
    assert [one.entry_id for one in judgement.kept] == [dropped]


def test_waiting_says_what_is_there_for_each_condition() -> None:
    log = log_for(on_event("a"), on_event("b"), logic="and")
    log.event("a")
    log.event("a")
    matcher = read(log, Limits(max_contributions=1))
    matcher.judge({})
    trigger_id = matcher.in_force()[0].trigger.id
    assert [(w.condition_id, w.kept, w.partial, w.dropped) for w in matcher.waiting(trigger_id)] == [
        (on_event("a").id, 1, 0, 1), (on_event("b").id, 0, 0, 0),
    ]  # fmt: skip
    assert matcher.waiting("unknown") == ()
    assert read(log_with(ONE)).waiting(ONE.id) == ()
