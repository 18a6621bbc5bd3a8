"""Which entries meet which conditions. Every log is also checked with the oracle."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.engine.declaring import on_any_result, on_cron, on_event, on_exception, on_result, on_status, trigger
from tests.unit.engine.leading import answer, evaluated, fired, read
from tests.unit.engine.recorded_log import Call, log_for, log_with
from trigger_engine._engine.decision import FilterError
from trigger_engine._model.definitions import Condition
from trigger_engine._model.ids import run_id

MINUTELY = on_cron("* * * * *")


def test_event_meets_conditions_on_its_code() -> None:
    log = log_for(on_event("a"))
    first = log.event("a")
    log.event("b")
    second = log.event("a", {"k": 1})
    assert fired(log) == [(first,), (second,)]


@pytest.mark.parametrize(("payload", "met"), [({"k": 1, "l": 2}, True), ({"k": True}, False), ({}, False)])
def test_payload_filter_decides(payload: Any, met: bool) -> None:
    log = log_for(on_event("a", {"k": 1}))
    log.event("a", payload)
    assert bool(fired(log)) is met


def history(call: Call) -> dict[str, str]:
    """One entry of every kind for an invocation, by kind."""
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
def test_status_condition_is_met_by_every_entry_that_reaches_the_status(status: str, kinds: list[str]) -> None:
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
def test_end_of_an_invocation_meets_the_conditions_of_the_table(end: str) -> None:
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
    met = [triggers[firing.trigger.id] for decision in evaluated(log) for firing in decision.firings]
    assert sorted(met) == sorted(ENDS[end])


def test_exception_condition_is_not_met_by_an_attempt_that_is_retried() -> None:
    log = log_for(on_exception("m.f"))
    call = log.call("m.f")
    call.start()
    call.retry()
    assert fired(log) == []
    call.start()
    failed = call.fail()
    assert fired(log) == [(failed,)]


def test_trigger_run_counts_as_registration_of_its_invocation() -> None:
    chained = trigger(on_status("m.target", "registered"), task="m.next")
    log = log_with(trigger(on_event("a")), chained)
    log.event("a")
    matcher = read(log)
    [firing] = matcher.evaluate({}).firings
    assert matcher.open_invocations == 0
    run = run_id(firing.trigger.id, [firing.cause])
    assert firing.run_id == run
    other = log_with(chained)
    call = other.call("m.target")
    assert fired(other) == [(call.id,)]


def test_tick_meets_its_condition() -> None:
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


def test_callables_are_called_once_for_all_triggers_and_only_if_all_else_is_met() -> None:
    condition = on_result("m.f", "?has_k", {"k": 1})
    log = log_with(trigger(condition, slot="0"), trigger(condition, task="m.other"))
    for arguments in ({"k": 1}, {"k": 2}):
        call = log.call("m.f", arguments)
        call.start()
        call.succeed({"k": 3})
    matcher = read(log)
    [question] = matcher.questions()
    assert (question.condition_id, [(f.name, s) for f, s in question.filters]) == (condition.id, [("has_k", "result")])
    assert len(matcher.evaluate({(question.position, condition.id): True}).firings) == 2


def test_callable_for_arguments_is_called_before_the_one_for_the_result() -> None:
    log = log_for(on_result("m.f", "?truthy", "?has_k"))
    call = log.call("m.f", {"k": 1})
    call.start()
    call.succeed(1)
    [question] = read(log).questions()
    assert [(f.name, subject) for f, subject in question.filters] == [("has_k", "arguments"), ("truthy", "result")]


def test_missing_verdict_counts_as_false() -> None:
    log = log_for(on_event("a", "?truthy"))
    log.event("a")
    decision = read(log).evaluate({})
    assert (decision.firings, decision.failures, decision.has_outputs) == ([], [], False)


def test_failed_filter_counts_as_not_met_and_is_reported_once() -> None:
    condition = on_event("a", "?k_is_small")
    log = log_with(trigger(condition, slot="0"), trigger(condition, task="m.other"))
    event = log.event("a")
    matcher = read(log)
    assert list(answer(matcher.questions()).values()) == [FilterError("k_is_small", "KeyError('k')")]
    decision = matcher.evaluate(answer(matcher.questions()))
    assert decision.firings == []
    [failure] = decision.failures
    assert (failure.condition_id, failure.entry_id, failure.filter) == (condition.id, event, "k_is_small")
