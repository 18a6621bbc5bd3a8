"""When a trigger fires, and with which contributions. Every log is also checked with the oracle."""

from __future__ import annotations

import pytest

from tests.unit.engine.declaring import on_any_result, on_event, on_status
from tests.unit.engine.leading import evaluated, fired, read
from tests.unit.engine.recorded_log import Call, Log, log_for
from trigger_engine._engine.decision import Limits
from trigger_engine._model.entries import Participant

RUNNING_AND_SUCCESS = (on_status("m.f", "running"), on_status("m.f", "success"))


def test_trigger_fires_once_for_an_entry_that_meets_several_conditions() -> None:
    first, second = on_status("m.f", "success"), on_any_result("m.f")
    for logic in ("or", "and"):
        log = log_for(first, second, logic=logic)
        call = log.call("m.f")
        call.start()
        end = call.succeed()
        [firing] = evaluated(log)[0].firings
        assert firing.participants == (Participant(first.id, end), Participant(second.id, end))
        assert [(c.id, entry.id) for c, _, entry in firing.contributions] == [(first.id, end), (second.id, end)]


def test_or_fires_for_every_entry_that_meets_any_condition() -> None:
    log = log_for(on_event("a"), on_event("b"))
    assert fired_entries(log, "abba") == [(0,), (1,), (2,), (3,)]


def fired_entries(log: Log, codes: str) -> list[tuple[int, ...]]:
    """The runs after these events, each as the indices of its events."""
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
def test_and_fires_when_each_source_has_a_contribution_and_then_starts_empty(
    codes: str, runs: list[tuple[int, ...]]
) -> None:
    assert fired_entries(log_for(on_event("a"), on_event("b"), logic="and"), codes) == runs


def test_entry_may_contribute_to_two_sources() -> None:
    log = log_for(on_event("a"), on_event("a", {"k": 1}), logic="and")
    log.event("a")
    both = log.event("a", {"k": 1})
    assert fired(log)[0][-1] == both


def test_condition_declared_twice_counts_once() -> None:
    log = log_for(on_event("a"), on_event("a"), logic="and")
    event = log.event("a")
    [firing] = evaluated(log)[0].firings
    assert firing.participants == (Participant(on_event("a").id, event),)


def test_one_invocation_must_meet_all_conditions_on_its_task() -> None:
    log = log_for(*RUNNING_AND_SUCCESS, logic="and")
    first, second = log.call("m.f"), log.call("m.f")
    starts = first.start(), second.start()
    end = second.succeed()
    first.fail()
    assert fired(log) == [(starts[1], end)]


def test_incomplete_group_of_an_ended_invocation_is_dropped() -> None:
    log = log_for(*RUNNING_AND_SUCCESS, on_event("a"), logic="and")
    call = log.call("m.f")
    call.start()
    matcher = read(log)
    matcher.evaluate({})
    trigger_id = matcher.active_triggers()[0].trigger.id
    assert [(w.kept, w.partial) for w in matcher.waiting(trigger_id)] == [(0, 1), (0, 0), (0, 0)]
    call.cancel()
    matcher.read(*log.entries[-1])
    assert matcher.evaluate({}).worth_recording
    assert [(w.kept, w.partial) for w in matcher.waiting(trigger_id)] == [(0, 0), (0, 0), (0, 0)]


def test_all_contributions_of_an_invocation_to_its_group_are_participants() -> None:
    log = log_for(*RUNNING_AND_SUCCESS, logic="and")
    call = log.call("m.f")
    entries = [call.start()]
    call.retry()
    entries += [call.start(), call.succeed()]
    assert fired(log) == [tuple(entries)]


def test_invocation_may_complete_its_group_again() -> None:
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


def test_newest_contributions_are_kept_and_the_others_counted() -> None:
    log = log_for(on_event("a"), on_event("b"), logic="and")
    events = [log.event("a") for _ in range(5)]
    end = log.event("b")
    limits = Limits(max_contributions=2)
    [firing] = evaluated(log, limits)[0].firings
    assert [p.entry_id for p in firing.participants] == [*events[3:], end]
    assert firing.dropped == 3
    log.event("a")
    log.event("b")
    assert [f.dropped for f in evaluated(log, limits)[0].firings] == [3, 0]


def test_contributions_are_kept_up_to_a_size_but_at_least_one() -> None:
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
    [firing] = evaluated(log, Limits(max_contributions=2))[0].firings
    assert [p.entry_id for p in firing.participants] == [*starts[2:], end]
    assert firing.dropped == 2


@pytest.mark.parametrize(("depths", "deepest"), [((0, 0), 1), ((0, 2), 3), ((2, 0), 3)])
def test_run_is_one_deeper_than_its_deepest_source(depths: tuple[int, int], deepest: int) -> None:
    log = log_for(on_event("a"), on_event("b"), logic="and")
    log.event("a", depth=depths[0])
    log.event("b", depth=depths[1])
    assert [firing.depth for firing in evaluated(log)[0].firings] == [deepest]


def test_chain_ends_at_the_maximum_length_and_uses_up_its_contributions() -> None:
    log = log_for(on_event("a"), on_event("b"), logic="and")
    log.event("a", depth=3)
    deep = log.event("b")
    limits = Limits(max_chain_length=3)
    [decision] = evaluated(log, limits)
    assert (decision.firings, decision.has_outputs) == ([], True)
    [ended] = decision.ended
    assert (ended.entry_id, ended.depth) == (deep, 4)
    log.event("b")
    run = log.event("a", depth=2)
    assert fired(log, limits)[0][-1] == run
