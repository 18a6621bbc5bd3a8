"""What each rule says, one by one: when a trigger fires, and with whom. Every log is checked with the oracle too."""

from __future__ import annotations

from typing import Any

import pytest

from tests.core.declaring import on_any_result, on_cron, on_event, on_exception, on_result, on_status, trigger
from tests.core.leading import DEFAULTS, answer, fired, judged
from tests.core.recorded_log import Call, Log
from trigger_engine.core.ids import run_id
from trigger_engine.core.judgement import FilterError, Limits
from trigger_engine.core.lifecycle import InvocationStatus
from trigger_engine.core.matcher import Matcher
from trigger_engine.entries.definitions import Condition, TriggerDefinition
from trigger_engine.entries.facts import ContributionKept, Participant

MINUTELY = on_cron("* * * * *")


def log_with(*triggers: TriggerDefinition) -> Log:
    log = Log()
    log.elect()
    log.declare(*triggers, from_start=True)
    return log


def log_for(*conditions: Condition, logic: str = "or") -> Log:
    return log_with(trigger(*conditions, logic=logic))


def read(log: Log, limits: Limits = DEFAULTS) -> Matcher:
    matcher = Matcher(limits, track_keys=True)
    for position, entry in log.entries:
        matcher.read(position, entry)
    return matcher


# Conditions


def test_an_event_meets_conditions_on_its_code() -> None:
    log = log_for(on_event("a"))
    first = log.event("a")
    log.event("b")
    second = log.event("a", {"k": 1})
    assert fired(log) == [(first,), (second,)]


@pytest.mark.parametrize(("payload", "met"), [({"k": 1, "l": 2}, True), ({"k": True}, False), ({}, False)])
def test_a_payload_filter_decides(payload: Any, met: bool) -> None:
    log = log_for(on_event("a", {"k": 1}))
    log.event("a", payload)
    assert bool(fired(log)) is met


def history(call: Call) -> dict[str, str]:
    """Every kind of entry on one invocation, by kind."""
    return {
        "registered": call.id,
        "claimed": call.claim(),
        "started": call.start(),
        "retried": call.retry(),
        "started again": call.start(),
        "recovered": call.recover(),
        "claimed again": call.claim(),
        "handed back": call.hand_back(),
    }


@pytest.mark.parametrize(
    ("status", "kinds"),
    [
        ("registered", ["registered", "recovered", "handed back"]),
        ("pending", ["claimed", "started again", "claimed again"]),
        ("running", ["started", "started again"]),
        ("retry", ["retried"]),
        ("success", []),
        ("failed", []),
        ("cancelled", ["end"]),
    ],
)
def test_a_status_condition_is_met_by_every_entry_that_reaches_the_status(status: str, kinds: list[str]) -> None:
    log = log_for(on_status("m.f", status))
    entries = history(call := log.call("m.f"))
    entries["end"] = call.cancel()
    assert fired(log) == [(entries[kind],) for kind in kinds]


ENDS: dict[str, list[str]] = {
    "succeed": ["status success", "any result", "result"],
    "fail": ["status failed", "any result", "exception", "named exception", "base exception"],
    "cancel": ["status cancelled"],
}


@pytest.mark.parametrize("end", ENDS)
def test_an_end_meets_what_the_table_says(end: str) -> None:
    conditions: dict[str, Condition] = {
        "status success": on_status("m.f", "success"),
        "status failed": on_status("m.f", "failed"),
        "status cancelled": on_status("m.f", "cancelled"),
        "any result": on_any_result("m.f"),
        "result": on_result("m.f", 7),
        "other result": on_result("m.f", 8),
        "exception": on_exception("m.f"),
        "named exception": on_exception("m.f", "Other", "ZeroDivisionError"),
        "base exception": on_exception("m.f", "ArithmeticError"),
        "other exception": on_exception("m.f", "KeyError"),
        "other task": on_any_result("m.g"),
    }
    triggers = {trigger(condition, slot=name).id: name for name, condition in conditions.items()}
    log = log_with(*(trigger(condition, slot=name) for name, condition in conditions.items()))
    call = log.call("m.f")
    call.start()
    ends = {
        "succeed": lambda: call.succeed(7.0),
        "fail": lambda: call.fail("ZeroDivisionError", "ArithmeticError", "Exception"),
        "cancel": call.cancel,
    }
    ends[end]()
    met = [triggers[firing.trigger.id] for judgement in judged(log) for firing in judgement.firings]
    assert sorted(met) == sorted(ENDS[end])


def test_an_exception_condition_is_not_met_by_an_attempt_that_is_tried_again() -> None:
    log = log_for(on_exception("m.f"))
    call = log.call("m.f")
    call.start()
    call.retry()
    assert fired(log) == []
    call.start()
    failed = call.fail()
    assert fired(log) == [(failed,)]


def test_the_registration_of_a_trigger_runs_invocation_is_a_registration() -> None:
    chained = trigger(on_status("m.target", "registered"), task="m.next")
    log = log_with(trigger(on_event("a")), chained)
    log.event("a")
    matcher = read(log)
    [firing] = matcher.judge({}).firings
    assert matcher.open_invocations == 0
    run = run_id(firing.trigger.id, [firing.cause])
    assert firing.run_id == run
    other = log_with(chained)
    call = other.call("m.target")
    assert fired(other) == [(call.id,)]


def test_a_tick_meets_its_condition() -> None:
    log = log_for(MINUTELY)
    tick = log.tick(MINUTELY.id, 60.0)
    log.tick("cron:other", 60.0)
    assert fired(log) == [(tick,)]


def test_call_arguments_filter_every_kind_of_task_condition() -> None:
    conditions: list[Condition] = [
        on_status("m.f", "running", arguments={"k": 1}),
        on_any_result("m.f", {"k": 1}),
        on_result("m.f", 5, {"k": 1}),
        on_status("m.f", "registered", arguments="?has_k"),
    ]
    log = log_for(*conditions)
    for arguments in ({"k": 1, "l": 2}, {"l": 2}):
        call = log.call("m.f", arguments)
        call.start()
        call.succeed(5)
    assert len(fired(log)) == 3


# Callables


def test_callables_are_asked_once_for_all_triggers_and_only_when_all_else_holds() -> None:
    condition = on_result("m.f", "?has_k", {"k": 1})
    log = log_with(trigger(condition, slot="0"), trigger(condition, task="m.other"))
    for arguments in ({"k": 1}, {"k": 2}):
        call = log.call("m.f", arguments)
        call.start()
        call.succeed({"k": 3})
    matcher = read(log)
    [question] = matcher.questions()
    assert (question.condition_id, [(f.name, s) for f, s in question.filters]) == (condition.id, [("has_k", "result")])
    assert len(matcher.judge({(question.position, condition.id): True}).firings) == 2


def test_callables_for_arguments_and_result_are_asked_in_this_order() -> None:
    log = log_for(on_result("m.f", "?truthy", "?has_k"))
    call = log.call("m.f", {"k": 1})
    call.start()
    call.succeed(1)
    [question] = read(log).questions()
    assert [(f.name, subject) for f, subject in question.filters] == [("has_k", "arguments"), ("truthy", "result")]


def test_a_verdict_that_is_missing_is_no() -> None:
    log = log_for(on_event("a", "?truthy"))
    log.event("a")
    judgement = read(log).judge({})
    assert (judgement.firings, judgement.failures, judgement.has_outputs) == ([], [], False)


def test_a_filter_that_fails_counts_as_not_met_and_is_reported_once() -> None:
    condition = on_event("a", "?k_is_small")
    log = log_with(trigger(condition, slot="0"), trigger(condition, task="m.other"))
    event = log.event("a")
    matcher = read(log)
    assert list(answer(matcher.questions()).values()) == [FilterError("k_is_small", "KeyError('k')")]
    judgement = matcher.judge(answer(matcher.questions()))
    assert judgement.firings == []
    [failure] = judgement.failures
    assert (failure.condition_id, failure.entry_id, failure.filter) == (condition.id, event, "k_is_small")


# OR and AND


def test_a_trigger_fires_once_for_an_entry_however_many_conditions_it_meets() -> None:
    first, second = on_status("m.f", "success"), on_any_result("m.f")
    for logic in ("or", "and"):
        log = log_for(first, second, logic=logic)
        call = log.call("m.f")
        call.start()
        end = call.succeed()
        [firing] = judged(log)[0].firings
        assert firing.participants == (Participant(first.id, end), Participant(second.id, end))
        assert [(c.id, entry.id) for c, _, entry in firing.contributions] == [(first.id, end), (second.id, end)]


def test_or_fires_for_every_entry_that_meets_any_condition() -> None:
    log = log_for(on_event("a"), on_event("b"))
    assert fired_entries(log, "abba") == [(0,), (1,), (2,), (3,)]


def fired_entries(log: Log, codes: str) -> list[tuple[int, ...]]:
    """The runs after these events, each as the events' places."""
    events = [log.event(code) for code in codes]
    return [tuple(events.index(event) for event in run) for run in fired(log)]


@pytest.mark.parametrize(
    ("codes", "runs"),
    [
        ("a", []),
        ("ab", [(0, 1)]),
        ("ba", [(0, 1)]),
        ("aab", [(0, 1, 2)]),
        ("aabb", [(0, 1, 2)]),
        ("aabba", [(0, 1, 2), (3, 4)]),
        ("abab", [(0, 1), (2, 3)]),
    ],
)
def test_and_collects_until_each_source_has_something_and_then_starts_empty(
    codes: str, runs: list[tuple[int, ...]]
) -> None:
    assert fired_entries(log_for(on_event("a"), on_event("b"), logic="and"), codes) == runs


def test_an_entry_may_be_the_contribution_to_two_sources() -> None:
    log = log_for(on_event("a"), on_event("a", {"k": 1}), logic="and")
    log.event("a")
    both = log.event("a", {"k": 1})
    assert fired(log)[0][-1] == both


def test_a_condition_declared_twice_counts_once() -> None:
    log = log_for(on_event("a"), on_event("a"), logic="and")
    event = log.event("a")
    [firing] = judged(log)[0].firings
    assert firing.participants == (Participant(on_event("a").id, event),)


RUNNING_AND_SUCCESS = (on_status("m.f", "running"), on_status("m.f", "success"))


def test_the_conditions_on_a_task_are_met_by_one_invocation() -> None:
    log = log_for(*RUNNING_AND_SUCCESS, logic="and")
    first, second = log.call("m.f"), log.call("m.f")
    starts = first.start(), second.start()
    end = second.succeed()
    first.fail()
    assert fired(log) == [(starts[1], end)]


def test_a_group_that_its_invocation_leaves_incomplete_is_dropped() -> None:
    log = log_for(*RUNNING_AND_SUCCESS, on_event("a"), logic="and")
    call = log.call("m.f")
    call.start()
    matcher = read(log)
    matcher.judge({})
    trigger_id = matcher.in_force()[0].trigger.id
    assert [(w.kept, w.partial) for w in matcher.waiting(trigger_id)] == [(0, 1), (0, 0), (0, 0)]
    call.cancel()
    matcher.read(*log.entries[-1])
    assert matcher.judge({}).worth_recording
    assert [(w.kept, w.partial) for w in matcher.waiting(trigger_id)] == [(0, 0), (0, 0), (0, 0)]


def test_every_contribution_of_the_invocation_to_its_group_takes_part() -> None:
    log = log_for(*RUNNING_AND_SUCCESS, logic="and")
    call = log.call("m.f")
    entries = [call.start()]
    call.retry()
    entries += [call.start(), call.succeed()]
    assert fired(log) == [tuple(entries)]


def test_an_invocation_may_complete_its_group_again() -> None:
    log = log_for(on_status("m.f", "running"), on_status("m.f", "retry"), on_event("a"), logic="and")
    call = log.call("m.f")
    entries = [call.start(), call.retry(), call.start(), call.retry()]
    last = call.start()
    entries.append(log.event("a"))
    assert fired(log) == [tuple(entries)]
    entries = [last, call.retry(), log.event("a")]
    assert fired(log)[1:] == [tuple(entries)]


def test_partial_groups_of_open_invocations_stay_when_the_trigger_fires() -> None:
    log = log_for(*RUNNING_AND_SUCCESS, on_event("a"), logic="and")
    first, second = log.call("m.f"), log.call("m.f")
    early = second.start()
    run = (first.start(), first.succeed(), log.event("a"))
    later = (early, second.succeed(), log.event("a"))
    assert fired(log) == [run, later]


def test_groups_on_two_tasks_are_two_sources() -> None:
    log = log_for(*RUNNING_AND_SUCCESS, on_any_result("m.g"), logic="and")
    other = log.call("m.g")
    other.start()
    end = other.fail()
    call = log.call("m.f")
    assert fired(log) == []
    assert (start := call.start())
    assert fired(log) == []
    assert fired_after(log, call) == (end, start, call.log.entries[-1][1].id)


def fired_after(log: Log, call: Call) -> tuple[str, ...]:
    call.succeed()
    [run] = fired(log)
    return run


# Limits


def test_the_newest_contributions_are_kept_and_the_others_counted() -> None:
    log = log_for(on_event("a"), on_event("b"), logic="and")
    events = [log.event("a") for _ in range(5)]
    end = log.event("b")
    limits = Limits(max_contributions=2)
    [firing] = judged(log, limits)[0].firings
    assert [p.entry_id for p in firing.participants] == [*events[3:], end]
    assert firing.dropped == 3
    log.event("a")
    log.event("b")
    assert [f.dropped for f in judged(log, limits)[0].firings] == [3, 0]


def test_contributions_are_kept_up_to_a_size_and_one_whatever_its_size() -> None:
    log = log_for(on_event("a"), on_event("b"), logic="and")
    log.event("a", {"k": "x" * 200})
    small = [log.event("a", {"k": "x"}) for _ in range(2)]
    log.event("b")
    assert fired(log, Limits(max_contribution_bytes=220))[0][:-1] == tuple(small)
    log.event("a", {"k": "x"})
    large = log.event("a", {"k": "x" * 500})
    log.event("b")
    assert fired(log, Limits(max_contribution_bytes=220))[1][:-1] == (large,)


def test_limits_hold_within_a_group_too() -> None:
    log = log_for(*RUNNING_AND_SUCCESS, logic="and")
    call = log.call("m.f")
    starts = [call.start()]
    for _ in range(3):
        call.retry()
        starts.append(call.start())
    end = call.succeed()
    [firing] = judged(log, Limits(max_contributions=2))[0].firings
    assert [p.entry_id for p in firing.participants] == [*starts[2:], end]
    assert firing.dropped == 2


@pytest.mark.parametrize(("depths", "deepest"), [((0, 0), 1), ((0, 2), 3), ((2, 0), 3)])
def test_a_run_is_one_deeper_than_its_deepest_source(depths: tuple[int, int], deepest: int) -> None:
    log = log_for(on_event("a"), on_event("b"), logic="and")
    log.event("a", depth=depths[0])
    log.event("b", depth=depths[1])
    assert [firing.depth for firing in judged(log)[0].firings] == [deepest]


def test_a_chain_ends_at_its_greatest_length_and_its_contributions_are_used_up() -> None:
    log = log_for(on_event("a"), on_event("b"), logic="and")
    log.event("a", depth=3)
    deep = log.event("b")
    limits = Limits(max_chain_length=3)
    [judgement] = judged(log, limits)
    assert (judgement.firings, judgement.has_outputs) == ([], True)
    [ended] = judgement.ended
    assert (ended.entry_id, ended.depth) == (deep, 4)
    log.event("b")
    run = log.event("a", depth=2)
    assert fired(log, limits)[0][-1] == run


# Which triggers are in force


def test_the_first_declaration_reaches_back_to_the_start_of_the_log() -> None:
    log = Log()
    early = log.event("a")
    log.elect()
    log.declare(trigger(on_event("a")), from_start=True)
    late = log.event("a")
    assert fired(log) == [(early,), (late,)]


@pytest.mark.parametrize("from_start", [False, True])
def test_later_declarations_see_what_comes_after_them(from_start: bool) -> None:
    log = log_with()
    log.event("a")
    log.declare(trigger(on_event("a")), from_start=from_start)
    late = log.event("a")
    assert fired(log) == [(late,)]


def test_a_void_declaration_declares_nothing() -> None:
    log = Log()
    log.declare(trigger(on_event("a")), from_start=True, term=5)
    log.elect()
    log.event("a")
    assert fired(log) == []


ONE, TWO = trigger(on_event("a"), slot="0"), trigger(on_event("b"), slot="0")
AND = trigger(on_event("a"), on_event("b"), logic="and", slot="1")
AND_MOVED = trigger(on_event("a"), on_event("b"), logic="and", slot="2")


def test_new_content_of_a_slot_takes_over_at_its_position() -> None:
    log = log_with(ONE)
    first = log.event("a")
    log.declare(TWO)
    log.event("a")
    second = log.event("b")
    assert fired(log) == [(first,), (second,)]


@pytest.mark.parametrize(
    "declarations",
    [(AND,), (AND_MOVED,), (AND_MOVED, trigger(on_event("b"), slot="1")), (ONE, AND)],
    ids=["again", "in another slot too", "moved", "with others"],
)
def test_what_is_collected_stays_while_the_trigger_is_in_force_in_any_slot(
    declarations: tuple[TriggerDefinition, ...],
) -> None:
    log = log_with(AND)
    first = log.event("a")
    log.declare(*declarations)
    second = log.event("b")
    assert (first, second) in fired(log)


@pytest.mark.parametrize("how", ["retire", "replace"])
def test_what_is_collected_goes_with_the_trigger(how: str) -> None:
    log = log_with(AND)
    log.event("a")
    if how == "retire":
        log.change("retire", AND)
    else:
        log.declare(trigger(on_event("c"), slot="1"))
    log.declare(AND)
    log.event("b")
    assert fired(log) == []


def test_a_suspended_trigger_judges_nothing_and_keeps_what_it_has() -> None:
    log = log_with(AND, ONE)
    first = log.event("a")
    log.change("suspend", AND)
    missed = log.event("b")
    log.change("resume", AND)
    second = log.event("b")
    runs = fired(log)
    assert (first, second) in runs
    assert all(missed not in run for run in runs)


def test_a_trigger_suspended_in_one_of_its_slots_goes_on() -> None:
    log = log_with(AND, AND_MOVED)
    log.change("suspend", AND)
    log.event("a")
    log.event("b")
    [firing] = judged(log)[-1].firings
    assert firing.slot == AND_MOVED.slot


def test_a_retired_trigger_never_fires() -> None:
    log = log_with(ONE)
    log.change("retire", ONE)
    log.event("a")
    assert fired(log) == []
    assert read(log).in_force() == []


def test_the_triggers_in_force_are_told_as_of_the_newest_entry_read() -> None:
    log = log_with(ONE)
    log.event("a")
    log.declare(TWO, AND)
    log.change("suspend", AND)
    matcher = read(log)
    assert matcher.unjudged
    assert [(c.trigger.id, c.suspended, c.declared_at) for c in matcher.in_force()] == [
        (TWO.id, False, 40), (AND.id, True, 40),
    ]  # fmt: skip


def test_the_first_declaration_may_be_known_before_it_is_read() -> None:
    log = log_with(ONE)
    first = log.entries[1][1]
    event = log.event("a")
    matcher = Matcher(Limits(), track_keys=True)
    matcher.declare_first(first)  # type: ignore[arg-type]
    assert matcher.declared
    for position, entry in log.entries:
        matcher.read(position, entry)
    assert [firing.cause for firing in matcher.judge({}).firings] == [event]
    assert matcher.in_force()[0].declared_at == 0


def test_schedules_in_force_come_with_their_newest_tick() -> None:
    log = log_for(MINUTELY)
    assert list(read(log).cron_conditions()) == [(MINUTELY, None, 1.0)]
    log.tick(MINUTELY.id, 120.0)
    log.tick(MINUTELY.id, 60.0)
    log.tick(MINUTELY.id, 180.0, term=5)
    assert list(read(log).cron_conditions()) == [(MINUTELY, 60.0, 1.0)]


# Void entries


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


# Judging


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
