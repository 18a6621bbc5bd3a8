"""Contexts: what argument providers receive."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from trigger_engine._engine.contexts import (
    CallArguments,
    Context,
    CronContext,
    EventContext,
    ExceptionContext,
    ResultContext,
    StatusContext,
    TriggerContext,
    context_of,
)
from trigger_engine._engine.lifecycle import InvocationStatus
from trigger_engine._model.definitions import (
    AnyResultCondition,
    Condition,
    CronCondition,
    EqualsFilter,
    EventCondition,
    ExceptionCondition,
    ResultCondition,
    StatusCondition,
)
from trigger_engine._model.entries import (
    AnyEntry,
    Cancelled,
    Claimed,
    CronTicked,
    EventEmitted,
    ExceptionFacts,
    Failed,
    HandedBack,
    InvocationRegistered,
    Recovered,
    Retried,
    Started,
    Succeeded,
    TriggerFired,
)

NOON = datetime(2024, 5, 6, 12, 0, 0, 250_000, tzinfo=UTC)
TIME = NOON.timestamp()
RAW = msgspec.Raw(msgspec.msgpack.encode({"x": 1}))
ABOUT: dict[str, Any] = {"id": "e1", "time": TIME, "invocation_id": "i1", "task_id": "tasks.f", "arguments": RAW}
CLAIM: dict[str, Any] = {**ABOUT, "attempt": 1, "claim_id": "c1", "runner_id": "r1"}
FACTS = ExceptionFacts(type="KeyError", message="'x'", bases=("LookupError", "Exception", "BaseException"))

SUCCEEDED = Succeeded(**CLAIM, result=msgspec.Raw(msgspec.msgpack.encode(2.5)))
FAILED = Failed(**CLAIM, exception=FACTS)
TICK = CronTicked(
    id="t", time=TIME, term=1, condition_id="cron", scheduled_for=TIME - 0.25, last_execution=TIME - 60.25
)
EVENT = EventEmitted(
    id="ev1",
    time=TIME,
    event_code="order.paid",
    payload=msgspec.Raw(msgspec.msgpack.encode({"at": NOON})),
    emitter_task_id="tasks.g",
    emitter_invocation_id="i0",
)

ON_CRON = CronCondition(id="cron", expression="* * * * *", timezone="UTC", catch_up="latest", catch_up_window=1.0)
ON_EVENT = EventCondition(id="event", event_code="order.paid", payload_filter=None)
ON_STATUS = StatusCondition(id="status", task_id="tasks.f", statuses=("success",), call_arguments=None)
ON_RESULT = ResultCondition(
    id="result", task_id="tasks.f", result_filter=EqualsFilter(value=msgspec.Raw(b"\x01")), call_arguments=None
)
ON_ANY_RESULT = AnyResultCondition(id="any", task_id="tasks.f", call_arguments=None)
ON_EXCEPTION = ExceptionCondition(id="exception", task_id="tasks.f", exception_types=(), call_arguments=None)


def decode_arguments(task_id: str, raw: msgspec.Raw) -> Mapping[str, Any]:
    return {"decoded for": task_id, **msgspec.msgpack.decode(raw)}


def decode_result(task_id: str, raw: msgspec.Raw) -> Any:
    return (task_id, msgspec.msgpack.decode(raw))


def made(condition: Condition, entry: AnyEntry, status: InvocationStatus | None = None) -> Context:
    return context_of(condition, entry, decode_arguments=decode_arguments, decode_result=decode_result, status=status)


COMMON: dict[str, Any] = {
    "invocation_id": "i1",
    "task_id": "tasks.f",
    "arguments": CallArguments({"decoded for": "tasks.f", "x": 1}),
    "timestamp": NOON,
}
BY_CONDITION: list[tuple[Condition, AnyEntry, Context]] = [
    (
        ON_EVENT,
        EVENT,
        EventContext(
            event_id="ev1",
            event_code="order.paid",
            payload={"at": NOON},
            emitter_task_id="tasks.g",
            emitter_invocation_id="i0",
            timestamp=NOON,
        ),
    ),
    (
        ON_CRON,
        TICK,
        CronContext(
            timestamp=NOON,
            scheduled_for=datetime(2024, 5, 6, 12, tzinfo=UTC),
            last_execution=datetime(2024, 5, 6, 11, 59, tzinfo=UTC),
        ),
    ),
    (ON_STATUS, SUCCEEDED, StatusContext(**COMMON, status=InvocationStatus.SUCCESS)),
    (ON_STATUS, FAILED, StatusContext(**COMMON, status=InvocationStatus.FAILED)),
    (ON_RESULT, SUCCEEDED, ResultContext(**COMMON, status=InvocationStatus.SUCCESS, result=("tasks.f", 2.5))),
    (ON_ANY_RESULT, SUCCEEDED, ResultContext(**COMMON, status=InvocationStatus.SUCCESS, result=("tasks.f", 2.5))),
    (
        ON_ANY_RESULT,
        FAILED,
        ResultContext(
            **COMMON, status=InvocationStatus.FAILED, result=None, exception_type="KeyError", exception_message="'x'"
        ),
    ),
    (
        ON_EXCEPTION,
        FAILED,
        ExceptionContext(**COMMON, status=InvocationStatus.FAILED, exception_type="KeyError", exception_message="'x'"),
    ),
]


@pytest.mark.parametrize(("condition", "entry", "context"), BY_CONDITION)
def test_entry_becomes_the_context_of_the_condition_that_it_met(
    condition: Condition, entry: AnyEntry, context: Context
) -> None:
    got = made(condition, entry)
    assert got == context
    assert type(got) is type(context)


@pytest.mark.parametrize(
    ("entry", "status"),
    [
        (InvocationRegistered(**ABOUT), InvocationStatus.REGISTERED),
        (TriggerFired(**ABOUT, term=1, trigger_id="t", slot="s", participants=()), InvocationStatus.REGISTERED),
        (Claimed(**CLAIM), InvocationStatus.PENDING),
        (Started(**CLAIM), InvocationStatus.RUNNING),
        (Retried(**CLAIM, exception=FACTS, not_before=0.0), InvocationStatus.RETRY),
        (Recovered(**CLAIM), InvocationStatus.REGISTERED),
        (HandedBack(**CLAIM), InvocationStatus.REGISTERED),
        (Cancelled(**CLAIM), InvocationStatus.CANCELLED),
    ],
)
def test_status_context_has_the_status_of_its_entry(entry: AnyEntry, status: InvocationStatus) -> None:
    context = made(ON_STATUS, entry)
    assert isinstance(context, StatusContext)
    assert context.status is status


def test_context_has_the_status_that_met_the_condition() -> None:
    context = made(ON_STATUS, Started(**CLAIM), InvocationStatus.PENDING)
    assert isinstance(context, StatusContext)
    assert context.status is InvocationStatus.PENDING


@pytest.mark.parametrize(
    ("condition", "entry"),
    [(ON_EVENT, TICK), (ON_CRON, EVENT), (ON_RESULT, FAILED), (ON_EXCEPTION, SUCCEEDED), (ON_STATUS, EVENT)],
)
def test_entry_that_cannot_meet_a_condition_is_an_error(condition: Condition, entry: AnyEntry) -> None:
    with pytest.raises(TypeError, match=f"{type(entry).__name__} cannot meet {condition.id}"):
        made(condition, entry)


def test_first_tick_has_no_last_execution() -> None:
    context = made(ON_CRON, msgspec.structs.replace(TICK, last_execution=None))
    assert isinstance(context, CronContext)
    assert context.last_execution is None


def test_provider_can_be_tested_with_only_the_fields_it_reads() -> None:
    assert EventContext(payload={"user_id": "42"}).event_code == ""
    assert ExceptionContext(arguments=CallArguments({"x": 1}), exception_type="KeyError").status == "failed"
    assert StatusContext().arguments.kwargs == {}
    assert ResultContext(result=3).exception_type is None
    for context in (EventContext(), StatusContext(), ResultContext(), ExceptionContext(), CronContext()):
        assert context.timestamp.tzinfo is UTC


@pytest.mark.parametrize("context", [EventContext(), StatusContext(), CronContext(), TriggerContext(), CallArguments()])
def test_contexts_are_frozen(context: Any) -> None:
    field = type(context).__struct_fields__[0]
    with pytest.raises(AttributeError):
        setattr(context, field, None)


def test_trigger_context_returns_the_newest_context_of_each_kind() -> None:
    old, new = EventContext(event_id="old"), EventContext(event_id="new")
    result, exception = ResultContext(result=1), ExceptionContext(exception_type="KeyError")
    tick = CronContext()
    context = TriggerContext(contexts=(old, result, exception, tick, new))
    assert context.event is new
    assert context.result is result
    assert context.exception is exception
    assert context.status is exception
    assert context.cron is tick


def test_trigger_context_returns_none_for_a_kind_that_did_not_contribute() -> None:
    context = TriggerContext(contexts=(StatusContext(),))
    assert (context.event, context.result, context.exception, context.cron) == (None, None, None, None)
    assert TriggerContext().status is None
