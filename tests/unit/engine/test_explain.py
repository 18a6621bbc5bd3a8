"""Explain: why an entry did or did not fire a trigger."""

from typing import Any

import msgspec
import pytest

from trigger_engine._engine.explain import (
    ExplainedTrigger,
    Explanation,
    RecordedFacts,
    RecordedKept,
    RecordedRun,
    TriggerStatus,
    explain,
    strongest,
)
from trigger_engine._engine.filters import Subject
from trigger_engine._engine.predicates import Occurrence, PredicateAnswer
from trigger_engine._model.definitions import (
    AnyResultCondition,
    CallableFilter,
    Condition,
    CronCondition,
    EqualsFilter,
    EventCondition,
    ExceptionCondition,
    Filter,
    MappingFilter,
    ResultCondition,
    StatusCondition,
    TriggerDefinition,
)


def raw(value: object) -> msgspec.Raw:
    return msgspec.Raw(msgspec.msgpack.encode(value))


def mapping(**value: object) -> MappingFilter:
    return MappingFilter(value=raw(value))


def function(name: str) -> CallableFilter:
    return CallableFilter(name=name, code="")


def on_event(payload_filter: Filter | None = None, code: str = "user.login") -> EventCondition:
    return EventCondition(id=f"event:{code}", event_code=code, payload_filter=payload_filter)


def on_status(*statuses: str, call_arguments: Filter | None = None) -> StatusCondition:
    return StatusCondition(id="status", task_id="pay", statuses=statuses, call_arguments=call_arguments)


def on_result(result_filter: Filter, call_arguments: Filter | None = None) -> ResultCondition:
    return ResultCondition(id="result", task_id="pay", result_filter=result_filter, call_arguments=call_arguments)


def trigger(*conditions: Condition) -> TriggerDefinition:
    return TriggerDefinition(
        id="t", slot="notify#0", task_id="notify", logic="and", conditions=conditions, providers=()
    )


def login(**payload: object) -> Occurrence:
    return Occurrence(entry_id="e", position=5, kind="event", source="user.login", values={"payload": payload})


def call(*statuses: str, exceptions: tuple[str, ...] = (), result: Any = msgspec.UNSET) -> Occurrence:
    values: dict[Subject, Any] = {"arguments": {}} if result is msgspec.UNSET else {"arguments": {}, "result": result}
    return Occurrence(
        entry_id="e",
        position=5,
        kind="invocation",
        source="pay",
        statuses=statuses,
        values=values,
        exceptions=exceptions,
    )


JUDGED = RecordedFacts(evaluated_upto=9)


def explained(
    occurrence: Occurrence,
    *conditions: Condition,
    record: RecordedFacts = JUDGED,
    status: TriggerStatus = "active",
    missing: tuple[str, ...] = (),
) -> Explanation:
    return explain(occurrence, ExplainedTrigger(trigger=trigger(*conditions), status=status, missing=missing), record)


def answers(explanation: Explanation) -> list[tuple[str, bool | None, str]]:
    return [(one.what, one.passed, one.text) for finding in explanation.conditions for one in finding.answers]


def run(*, error: str | None = None, participants: int = 1) -> RecordedRun:
    return RecordedRun(
        run_id="r",
        trigger_id="t",
        invocation_id=None if error else "i",
        error=error,
        condition_ids=("event:user.login",),
        participants=participants,
    )


def kept(condition_id: str = "event:user.login", *, waiting: bool = True, settled: bool = True) -> RecordedKept:
    return RecordedKept(trigger_id="t", condition_id=condition_id, waiting=waiting, settled=settled)


def test_fired_names_the_run_and_its_invocation() -> None:
    explanation = explained(
        login(role="admin"), on_event(mapping(role="admin")), record=RecordedFacts(evaluated_upto=9, runs=(run(),))
    )
    assert explanation.outcome == "fired"
    assert explanation.text == "trigger-run:r started invocation:i of notify"
    assert (explanation.run_id, explanation.invocation_id) == ("r", "i")
    assert answers(explanation) == [("payload.role", True, 'is "admin"')]


def test_run_of_several_entries_gives_their_number() -> None:
    explanation = explained(login(), on_event(), record=RecordedFacts(evaluated_upto=9, runs=(run(participants=3),)))
    assert explanation.text == "trigger-run:r, together with 2 others, started invocation:i of notify"


def test_rejected_gives_the_reason() -> None:
    explanation = explained(
        login(), on_event(), record=RecordedFacts(evaluated_upto=9, runs=(run(error="make: KeyError: 'x'"),))
    )
    assert explanation.outcome == "rejected"
    assert explanation.text == "trigger-run:r was rejected, its arguments could not be built: make: KeyError: 'x'"


def test_recorded_outcome_takes_precedence() -> None:
    explanation = explained(
        login(role="guest"),
        on_event(mapping(role="admin")),
        record=RecordedFacts(evaluated_upto=0, runs=(run(),)),
        status="not declared",
    )
    assert explanation.outcome == "fired"
    assert explanation.conditions[0].met is True


def test_kept_names_the_missing_conditions() -> None:
    explanation = explained(
        login(),
        on_event(),
        on_event(code="user.paid"),
        record=RecordedFacts(evaluated_upto=9, kept=(kept(),)),
        missing=("event:user.paid",),
    )
    assert explanation.outcome == "kept"
    assert explanation.text == "it met event:user.login and waits for event:user.paid"
    assert explanation.missing == ("event:user.paid",)


def test_kept_of_a_group_waits_for_the_same_invocation() -> None:
    explanation = explained(
        call("running"),
        on_status("running"),
        on_result(mapping(ok=True)),
        record=RecordedFacts(evaluated_upto=9, kept=(kept("status", settled=False),)),
    )
    assert explanation.text == "it met status and waits for result of the same invocation"
    assert explanation.missing == ("result",)


def test_dropped_gives_the_reason() -> None:
    group = explained(
        call("running"),
        on_status("running"),
        on_result(mapping(ok=True)),
        record=RecordedFacts(evaluated_upto=9, kept=(kept("status", settled=False, waiting=False),)),
    )
    assert group.outcome == "dropped"
    assert group.text.endswith("its invocation ended before it met the other conditions on the task")
    crowded = explained(login(), on_event(), record=RecordedFacts(evaluated_upto=9, kept=(kept(waiting=False),)))
    assert "max_contributions" in crowded.text


def test_ended_chain_is_explained() -> None:
    explanation = explained(login(), on_event(), record=RecordedFacts(evaluated_upto=9, ended_chains=frozenset({"t"})))
    assert explanation.outcome == "chain ended"
    assert "max_chain_length" in explanation.text


@pytest.mark.parametrize(
    ("payload_filter", "payload", "text"),
    [
        (mapping(role="admin"), {"role": "guest"}, 'payload.role is "guest", expected "admin"'),
        (mapping(role="admin"), {}, 'payload.role is missing, expected "admin"'),
        (mapping(user={"role": "admin"}), {"user": {"role": 1}}, 'payload.user.role is 1, expected "admin"'),
        (mapping(user={"role": "admin"}), {"user": 7}, 'payload.user is 7, expected {"role":"admin"}'),
        (mapping(user={"role": "admin"}), {}, 'payload.user is missing, expected {"role":"admin"}'),
        (mapping(flag=True), {"flag": 1}, "payload.flag is 1, expected true"),
        (mapping(user={}), {"user": 7}, "payload.user is 7, expected {}"),
    ],
)
def test_filtered_names_the_key_that_differs(payload_filter: Filter, payload: dict[str, Any], text: str) -> None:
    explanation = explained(login(**payload), on_event(payload_filter))
    assert explanation.outcome == "filtered"
    assert explanation.text == text
    assert explanation.conditions[0].met is False


def test_every_key_of_a_filter_has_an_answer() -> None:
    explanation = explained(login(a=1, b=2.0, c=3), on_event(mapping(a=1, b=2, c=4)))
    assert answers(explanation) == [
        ("payload.a", True, "is 1"),
        ("payload.b", True, "is 2.0"),
        ("payload.c", False, "is 3, expected 4"),
    ]


def test_function_that_returned_false_is_named() -> None:
    explanation = explained(login(), on_event(function("shop.is_large")))
    assert explanation.outcome == "filtered"
    assert answers(explanation) == [("shop.is_large", False, "returned false")]
    assert explanation.text == "shop.is_large returned false"


def test_failed_function_is_named_with_its_error() -> None:
    record = RecordedFacts(evaluated_upto=9, errors={"event:user.login": {"shop.is_large": "KeyError: 'amount'"}})
    explanation = explained(login(), on_event(function("shop.is_large")), record=record)
    assert explanation.text == "shop.is_large failed, which counts as false: KeyError: 'amount'"


def test_two_functions_are_named_if_one_returned_false() -> None:
    explanation = explained(call("success", result=1), on_result(function("f.result"), function("f.arguments")))
    assert explanation.outcome == "filtered"
    assert explanation.text == "one of f.arguments, f.result returned false"
    assert [one.passed for one in explanation.conditions[0].answers] == [True, None, None]


def test_function_is_not_called_if_another_check_failed() -> None:
    explanation = explained(call("success", result=1), on_result(EqualsFilter(value=raw(2)), function("f.arguments")))
    assert answers(explanation) == [
        ("status", True, "is success"),
        ("result", False, "is 1, expected 2"),
        ("f.arguments", None, "was not called"),
    ]
    assert explanation.text == "result is 1, expected 2"


def test_only_the_failed_function_is_blamed() -> None:
    record = RecordedFacts(evaluated_upto=9, errors={"result": {"f.result": "E: x"}})
    explanation = explained(
        call("success", result=1), on_result(function("f.result"), function("f.arguments")), record=record
    )
    assert explanation.text == "f.result failed, which counts as false: E: x"
    assert (
        PredicateAnswer(what="f.arguments", passed=None, text="returned true, or was not called")
        in explanation.conditions[0].answers
    )


def test_other_status_is_explained_with_the_expected_ones() -> None:
    explanation = explained(call("pending", "running"), on_status("failed", "cancelled"))
    assert explanation.text == "status is pending and running, expected failed or cancelled"


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        (on_result(mapping(ok=True)), "success"),
        (AnyResultCondition(id="any", task_id="pay", call_arguments=None), "success or failed"),
        (ExceptionCondition(id="x", task_id="pay", exception_types=(), call_arguments=None), "failed"),
    ],
)
def test_results_and_exceptions_expect_the_end(condition: Condition, expected: str) -> None:
    assert explained(call("retry"), condition).text == f"status is retry, expected {expected}"


def test_other_exception_is_explained_with_the_expected_ones() -> None:
    condition = ExceptionCondition(
        id="x", task_id="pay", exception_types=("ValueError", "OSError"), call_arguments=None
    )
    explanation = explained(call("failed", exceptions=("KeyError", "LookupError", "Exception")), condition)
    assert explanation.text == "exception is KeyError, expected ValueError or OSError"
    by_base = explained(call("failed", exceptions=("UnicodeError", "ValueError")), condition)
    assert by_base.outcome == "not recorded"
    assert ("exception", True, "is UnicodeError") in answers(by_base)


def test_not_evaluated_gives_the_evaluated_position() -> None:
    explanation = explained(
        login(role="admin"), on_event(mapping(role="admin")), record=RecordedFacts(evaluated_upto=3)
    )
    assert explanation.outcome == "not evaluated"
    assert "evaluated up to position 3, this entry is at 5" in explanation.text
    assert explanation.conditions[0].met is None
    asked_later = explained(login(), on_event(function("f")), record=RecordedFacts(evaluated_upto=3))
    assert answers(asked_later) == [("f", None, "has not been called yet")]


def test_entry_that_cannot_pass_is_filtered_before_it_is_evaluated() -> None:
    explanation = explained(
        login(role="guest"), on_event(mapping(role="admin")), record=RecordedFacts(evaluated_upto=3)
    )
    assert explanation.outcome == "filtered"


@pytest.mark.parametrize(
    ("status", "text"),
    [
        ("suspended", "was suspended: no live runner had its code"),
        ("retired", "was retired"),
        ("replaced", "had been replaced"),
        ("not declared", "was declared after this entry"),
    ],
)
def test_not_in_force_gives_the_status_of_the_trigger(status: TriggerStatus, text: str) -> None:
    explanation = explained(login(), on_event(), status=status)
    assert explanation.outcome == "not active"
    assert text in explanation.text


def test_trigger_on_other_sources_does_not_listen() -> None:
    cron = CronCondition(id="cron:@hourly", expression="@hourly", timezone="UTC", catch_up="skip", catch_up_window=0)
    explanation = explained(login(), on_event(code="user.logout"), on_status("success"), cron)
    assert explanation.outcome == "not listening"
    assert explanation.text == "it listens to event user.logout, task pay, cron:@hourly, not to user.login"
    tick = Occurrence(entry_id="e", position=5, kind="tick", source="cron:@hourly")
    assert explained(tick, cron).outcome == "not recorded"


def test_void_entry_gives_the_reason() -> None:
    void = msgspec.structs.replace(login(), void="term 3 is not current")
    explanation = explained(void, on_event())
    assert explanation.outcome == "void"
    assert explanation.text == "the entry is void: term 3 is not current"


def test_entry_that_passes_without_a_run_is_explained_by_retention() -> None:
    explanation = explained(login(role="admin"), on_event(mapping(role="admin")))
    assert explanation.outcome == "not recorded"
    assert "retention may have removed the run" in explanation.text


def test_most_informative_explanation_of_an_invocation_is_chosen() -> None:
    condition = on_result(mapping(ok=True))
    entries = [call("registered"), call("pending", "running"), call("success", result={"ok": False})]
    told_of_each = [explained(entry, condition) for entry in entries]
    assert strongest(told_of_each).text == "result.ok is false, expected true"
    fired = explained(login(), on_event(), record=RecordedFacts(evaluated_upto=9, runs=(run(),)))
    assert strongest([*told_of_each, fired]) is fired
    assert strongest(told_of_each[:2]) is told_of_each[1]


def test_long_values_are_cut() -> None:
    explanation = explained(login(role="x" * 500), on_event(mapping(role="admin")))
    assert len(explanation.text) < 200
    assert "…" in explanation.text
