"""What a condition asks of an entry, answer by answer, as `explain` tells people. The matcher itself uses the index."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

import msgspec

from trigger_engine.core.filters import MISSING, UNREADABLE, Subject, decode, filters_by_subject, freeze, lookup
from trigger_engine.core.lifecycle import InvocationStatus
from trigger_engine.entries.definitions import (
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
from trigger_engine.entries.facts import Position

SUCCESS, FAILED = InvocationStatus.SUCCESS.value, InvocationStatus.FAILED.value
_LONGEST = 120
_json = msgspec.json.Encoder(enc_hook=repr)


class Occurrence(msgspec.Struct, frozen=True, kw_only=True):
    """An entry as conditions see it.

    `source`: the event code, the condition id of a tick, the task id of an invocation. `statuses`: those that an
    invocation's entry stands for. `values`: decoded. `exceptions`: the names of what ended it FAILED, the type first,
    then its bases. `void`: why the entry counts for nothing, None when it counts.
    """

    entry_id: str
    position: Position
    kind: Literal["event", "tick", "invocation"]
    source: str
    statuses: tuple[str, ...] = ()
    values: Mapping[Subject, Any] = {}
    exceptions: tuple[str, ...] = ()
    void: str | None = None


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What one part of a condition says of an entry. `passed` is None where that is not known.

    `what`: the status, the exception, a path such as `payload.role`, or a function's name. `text`: the answer in words.
    """

    what: str
    passed: bool | None
    text: str


class ConditionFinding(msgspec.Struct, frozen=True, kw_only=True):
    """A condition that listens to an entry's source, and whether the entry met it (None: not judged yet)."""

    condition_id: str
    met: bool | None
    answers: tuple[Answer, ...]


def listens(condition: Condition, occurrence: Occurrence) -> bool:
    """Whether a condition watches where the entry comes from."""
    if isinstance(condition, CronCondition):
        return occurrence.kind == "tick" and condition.id == occurrence.source
    if isinstance(condition, EventCondition):
        return occurrence.kind == "event" and condition.event_code == occurrence.source
    return occurrence.kind == "invocation" and condition.task_id == occurrence.source


def examine(
    condition: Condition, occurrence: Occurrence, *, recorded: bool | None, errors: Mapping[str, str]
) -> ConditionFinding:
    """What a condition that listens says of an entry.

    recorded: whether leaders recorded that the entry met it; None while it is not judged. errors: what the condition's
    functions raised on this entry, by name.
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
    """A decoded value as short JSON."""
    if value is MISSING:
        return "missing"
    try:
        text = _json.encode(value).decode()
    except (TypeError, ValueError, RecursionError):
        text = repr(value)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"


def _status_answers(condition: Condition, occurrence: Occurrence) -> Iterator[Answer]:
    wanted = _wanted_statuses(condition)
    if not wanted:
        return
    reached = [status for status in occurrence.statuses if status in wanted]
    is_now = " and ".join(reached or occurrence.statuses)
    text = f"is {is_now}" if reached else f"is {is_now}, expected {' or '.join(wanted)}"
    yield Answer(what="status", passed=bool(reached), text=text)


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


def _exception_answers(condition: Condition, occurrence: Occurrence) -> Iterator[Answer]:
    if not isinstance(condition, ExceptionCondition) or not condition.exception_types or not occurrence.exceptions:
        return
    passed = not set(condition.exception_types).isdisjoint(occurrence.exceptions)
    expected = "" if passed else f", expected {' or '.join(condition.exception_types)}"
    yield Answer(what="exception", passed=passed, text=f"is {occurrence.exceptions[0]}{expected}")


def _equality_answers(filter_: MappingFilter | EqualsFilter, subject: Subject, value: Any) -> Iterator[Answer]:
    try:
        expected = decode(filter_.value)
        if isinstance(filter_, MappingFilter) and isinstance(expected, dict):
            yield from _mapping_answers(expected, value, subject)
        else:
            yield _equality(subject, value, expected)
    except UNREADABLE as exc:
        yield Answer(what=subject, passed=False, text=f"cannot be read: {exc}")


def _mapping_answers(expected: dict[Any, Any], value: Any, path: str) -> Iterator[Answer]:
    """One answer for each key; a value that is no mapping has none of them."""
    if not isinstance(value, dict):
        yield Answer(what=path, passed=False, text=f"is {value_text(value)}, expected {value_text(expected)}")
        return
    if not expected:
        yield Answer(what=path, passed=True, text="is a mapping")
    for key, wanted in expected.items():
        found, below = lookup(value, freeze(key)), f"{path}.{key}" if isinstance(key, str) else f"{path}[{key!r}]"
        if isinstance(wanted, dict) and found is not MISSING:
            yield from _mapping_answers(wanted, found, below)
        else:
            yield _equality(below, found, wanted)


def _equality(path: str, found: Any, expected: Any) -> Answer:
    passed = found is not MISSING and freeze(found) == freeze(expected)
    text = f"is {value_text(found)}"
    return Answer(what=path, passed=passed, text=text if passed else f"{text}, expected {value_text(expected)}")


def _function_answers(
    functions: Sequence[Filter], *, refused: bool, recorded: bool | None, errors: Mapping[str, str]
) -> Iterator[Answer]:
    names = [function.name for function in functions if isinstance(function, CallableFilter)]
    failed = any(name in errors for name in names)
    for name in names:
        if recorded:
            yield Answer(what=name, passed=True, text="said yes")
        elif refused:
            yield Answer(what=name, passed=None, text="was not asked")
        elif name in errors:
            yield Answer(what=name, passed=False, text=f"failed, which counts as no: {errors[name]}")
        elif recorded is None:
            yield Answer(what=name, passed=None, text="is not asked yet")
        elif failed:
            yield Answer(what=name, passed=None, text="said yes, or was not asked")
        elif len(names) == 1:
            yield Answer(what=name, passed=False, text="said no")
        else:
            yield Answer(what=name, passed=None, text=f"one of {', '.join(names)} said no")
