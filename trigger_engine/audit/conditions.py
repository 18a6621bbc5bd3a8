"""What a condition listens to, and whether an entry meets it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from trigger_engine.audit.equality import holds, same
from trigger_engine.audit.user_code import Answer, UserCode
from trigger_engine.core.lifecycle import InvocationStatus
from trigger_engine.entries.definitions import (
    AnyResultCondition,
    CallableFilter,
    Condition,
    CronCondition,
    EventCondition,
    ExceptionCondition,
    Filter,
    MappingFilter,
    ResultCondition,
    StatusCondition,
)
from trigger_engine.entries.facts import AnyEntry, CronTicked, EventEmitted, Failed, InvocationEntry

Source = tuple[str, str]
"""Something to listen to: "event" and its code, "tick" and its condition, or a status and a task."""

_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
_SUCCESS, _FAILED = InvocationStatus.SUCCESS.value, InvocationStatus.FAILED.value


def sources_of_condition(condition: Condition) -> list[Source]:
    """Everything that it listens to."""
    match condition:
        case EventCondition():
            return [("event", condition.event_code)]
        case CronCondition():
            return [("tick", condition.id)]
        case StatusCondition():
            return [(status, condition.task_id) for status in dict.fromkeys(condition.statuses)]
        case ResultCondition():
            return [(_SUCCESS, condition.task_id)]
        case AnyResultCondition():
            return [(_SUCCESS, condition.task_id), (_FAILED, condition.task_id)]
        case ExceptionCondition():
            return [(_FAILED, condition.task_id)]


def sources_of_entry(entry: AnyEntry, statuses: tuple[str, ...]) -> list[Source]:
    """Everything that an entry is. `statuses`: those that an invocation's entry stands for."""
    if isinstance(entry, EventEmitted):
        return [("event", entry.event_code)]
    if isinstance(entry, CronTicked):
        return [("tick", entry.condition_id)]
    return [(status, entry.task_id) for status in statuses] if isinstance(entry, InvocationEntry) else []


class Subject:
    """An entry whose fields are decoded once."""

    def __init__(self, entry: AnyEntry) -> None:
        self.entry = entry
        self._values: dict[str, Any] = {}

    def value(self, field: str) -> Any:
        """The decoded field. Raises what decoding raises."""
        if field not in self._values:
            self._values[field] = msgspec.msgpack.decode(getattr(self.entry, field))
        return self._values[field]


class Asked:
    """A condition, ready to be asked of entries that are of its sources."""

    def __init__(self, condition: Condition) -> None:
        self.condition = condition
        self._equalities: list[tuple[str, Callable[[Any, Any], bool], Any]] = []
        self._callables: list[tuple[str, CallableFilter]] = []
        self._readable = True
        for field, filter_ in _filters(condition):
            if isinstance(filter_, CallableFilter):
                self._callables.append((field, filter_))
                continue
            try:
                wanted = msgspec.msgpack.decode(filter_.value)
            except _UNREADABLE:
                self._readable = False
            else:
                self._equalities.append((field, holds if isinstance(filter_, MappingFilter) else same, wanted))

    def answer(self, subject: Subject, code: UserCode) -> Answer:
        """Whether an entry meets it."""
        if not self._readable or not self._raised_wanted(subject.entry):
            return Answer.NO
        try:
            if not all(passes(subject.value(field), wanted) for field, passes, wanted in self._equalities):
                return Answer.NO
        except _UNREADABLE:
            return Answer.NO
        answers = (code.ask(asked, field, subject.entry) for field, asked in self._callables)
        unknown = False
        for answer in answers:
            if answer is Answer.NO or (answer is Answer.FAILED and not unknown):
                return answer
            unknown = unknown or answer is not Answer.YES
        return Answer.UNKNOWN if unknown else Answer.YES

    def _raised_wanted(self, entry: AnyEntry) -> bool:
        types = self.condition.exception_types if isinstance(self.condition, ExceptionCondition) else ()
        if not types:
            return True
        return isinstance(entry, Failed) and bool({entry.exception.type, *entry.exception.bases} & set(types))


def _filters(condition: Condition) -> list[tuple[str, Filter]]:
    """Every filter with the field that it looks at."""
    found: list[tuple[str, Filter | None]]
    match condition:
        case CronCondition():
            found = []
        case EventCondition():
            found = [("payload", condition.payload_filter)]
        case ResultCondition():
            found = [("arguments", condition.call_arguments), ("result", condition.result_filter)]
        case _:
            found = [("arguments", condition.call_arguments)]
    return [(field, filter_) for field, filter_ in found if filter_ is not None]
