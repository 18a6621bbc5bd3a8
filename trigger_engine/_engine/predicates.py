"""The single checks of a condition on an entry, for `explain`. The matcher itself uses the index."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

import msgspec

from trigger_engine._engine.filters import MISSING, UNREADABLE, Subject, decode, filters_by_subject, freeze, lookup
from trigger_engine._engine.lifecycle import InvocationStatus
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
)
from trigger_engine._model.entries import Position

SUCCESS, FAILED = InvocationStatus.SUCCESS.value, InvocationStatus.FAILED.value
_MAX_TEXT_LENGTH = 120
_json = msgspec.json.Encoder(enc_hook=repr)


class Occurrence(msgspec.Struct, frozen=True, kw_only=True):
    """An entry as conditions see it.

    `source`: the event code, the condition id of a tick, or the task id of an invocation. `statuses`: what an entry of
    an invocation stands for. `values`: decoded. `exceptions`: names of the exception type that ended it FAILED and of
    its base classes, in this order. `void`: why the entry is void, None if it is valid.
    """

    entry_id: str
    position: Position
    kind: Literal["event", "tick", "invocation"]
    source: str
    statuses: tuple[str, ...] = ()
    values: Mapping[Subject, Any] = {}
    exceptions: tuple[str, ...] = ()
    void: str | None = None


class PredicateAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """The result of one check of a condition. `passed` is None if it is not known.

    `what`: "status", "exception", a path such as `payload.role`, or a function name. `text`: the result in words.
    """

    what: str
    passed: bool | None
    text: str


class ConditionFinding(msgspec.Struct, frozen=True, kw_only=True):
    """A condition that listens to the source of an entry. `met`: None if the entry is not evaluated yet."""

    condition_id: str
    met: bool | None
    answers: tuple[PredicateAnswer, ...]


def listens(condition: Condition, occurrence: Occurrence) -> bool:
    """True if a condition watches the source of the entry."""
    if isinstance(condition, CronCondition):
        return occurrence.kind == "tick" and condition.id == occurrence.source
    if isinstance(condition, EventCondition):
        return occurrence.kind == "event" and condition.event_code == occurrence.source
    return occurrence.kind == "invocation" and condition.task_id == occurrence.source


def examine(
    condition: Condition, occurrence: Occurrence, *, recorded: bool | None, errors: Mapping[str, str]
) -> ConditionFinding:
    """Checks an entry against a condition that listens to it.

    recorded: whether leaders recorded that the entry met the condition; None if it is not evaluated yet.
    errors: what the functions of the condition raised on this entry, by function name.
    """
    answers = [*_status_answers(condition, occurrence), *_exception_answers(condition, occurrence)]
    functions: list[CallableFilter] = []
    for subject, filter_ in filters_by_subject(condition):
        if isinstance(filter_, CallableFilter):
            functions.append(filter_)
        elif subject in occurrence.values:
            answers += _equality_answers(filter_, subject, occurrence.values[subject])
    if recorded:
        answers = [msgspec.structs.replace(answer, passed=True) for answer in answers]
    refused = any(answer.passed is False for answer in answers)
    answers += _function_answers(functions, refused=refused, recorded=recorded, errors=errors)
    failed = any(answer.passed is False for answer in answers)
    return ConditionFinding(condition_id=condition.id, met=False if failed else recorded, answers=tuple(answers))


def value_text(value: Any) -> str:
    """A decoded value as JSON, shortened."""
    if value is MISSING:
        return "missing"
    try:
        text = _json.encode(value).decode()
    except (TypeError, ValueError, RecursionError):
        text = repr(value)
    return text if len(text) <= _MAX_TEXT_LENGTH else f"{text[: _MAX_TEXT_LENGTH - 1]}…"


def _status_answers(condition: Condition, occurrence: Occurrence) -> Iterator[PredicateAnswer]:
    wanted = _wanted_statuses(condition)
    if not wanted:
        return
    reached = [status for status in occurrence.statuses if status in wanted]
    is_now = " and ".join(reached or occurrence.statuses)
    text = f"is {is_now}" if reached else f"is {is_now}, expected {' or '.join(wanted)}"
    yield PredicateAnswer(what="status", passed=bool(reached), text=text)


def _wanted_statuses(condition: Condition) -> Sequence[str]:
    match condition:
        case StatusCondition():
            return condition.statuses
        case ResultCondition():
            return (SUCCESS,)
        case AnyResultCondition():
            return (SUCCESS, FAILED)
        case ExceptionCondition():
            return (FAILED,)
        case _:
            return ()


def _exception_answers(condition: Condition, occurrence: Occurrence) -> Iterator[PredicateAnswer]:
    if not isinstance(condition, ExceptionCondition) or not condition.exception_types or not occurrence.exceptions:
        return
    passed = not set(condition.exception_types).isdisjoint(occurrence.exceptions)
    expected = "" if passed else f", expected {' or '.join(condition.exception_types)}"
    yield PredicateAnswer(what="exception", passed=passed, text=f"is {occurrence.exceptions[0]}{expected}")


def _equality_answers(filter_: MappingFilter | EqualsFilter, subject: Subject, value: Any) -> Iterator[PredicateAnswer]:
    try:
        expected = decode(filter_.value)
        if isinstance(filter_, MappingFilter) and isinstance(expected, dict):
            yield from _mapping_answers(expected, value, subject)
        else:
            yield _equality(subject, value, expected)
    except UNREADABLE as exc:
        yield PredicateAnswer(what=subject, passed=False, text=f"cannot be decoded: {exc}")


def _mapping_answers(expected: dict[Any, Any], value: Any, path: str) -> Iterator[PredicateAnswer]:
    """One answer for each key, or a single one if the value is not a mapping."""
    if not isinstance(value, dict):
        yield PredicateAnswer(what=path, passed=False, text=f"is {value_text(value)}, expected {value_text(expected)}")
        return
    if not expected:
        yield PredicateAnswer(what=path, passed=True, text="is a mapping")
    for key, wanted in expected.items():
        found, below = lookup(value, freeze(key)), f"{path}.{key}" if isinstance(key, str) else f"{path}[{key!r}]"
        if isinstance(wanted, dict) and found is not MISSING:
            yield from _mapping_answers(wanted, found, below)
        else:
            yield _equality(below, found, wanted)


def _equality(path: str, found: Any, expected: Any) -> PredicateAnswer:
    passed = found is not MISSING and freeze(found) == freeze(expected)
    text = f"is {value_text(found)}" if passed else f"is {value_text(found)}, expected {value_text(expected)}"
    return PredicateAnswer(what=path, passed=passed, text=text)


def _function_answers(
    functions: Sequence[Filter], *, refused: bool, recorded: bool | None, errors: Mapping[str, str]
) -> Iterator[PredicateAnswer]:
    names = [function.name for function in functions if isinstance(function, CallableFilter)]
    failed = any(name in errors for name in names)
    for name in names:
        if recorded:
            yield PredicateAnswer(what=name, passed=True, text="returned true")
        elif refused:
            yield PredicateAnswer(what=name, passed=None, text="was not called")
        elif name in errors:
            yield PredicateAnswer(what=name, passed=False, text=f"failed, which counts as false: {errors[name]}")
        elif recorded is None:
            yield PredicateAnswer(what=name, passed=None, text="has not been called yet")
        elif failed:
            yield PredicateAnswer(what=name, passed=None, text="returned true, or was not called")
        elif len(names) == 1:
            yield PredicateAnswer(what=name, passed=False, text="returned false")
        else:
            yield PredicateAnswer(what=name, passed=None, text=f"one of {', '.join(names)} returned false")
