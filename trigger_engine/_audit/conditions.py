"""What a condition listens to, and whether an entry meets it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from trigger_engine._audit.equality import holds, same
from trigger_engine._audit.user_code import FilterOutcome, UserCode
from trigger_engine._engine.lifecycle import InvocationStatus
from trigger_engine._model.definitions import (
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
from trigger_engine._model.entries import AnyEntry, CronTicked, EventEmitted, Failed, InvocationEntry

Source = tuple[str, str]
"""A source of entries: ("event", its code), ("tick", its condition), or (a status, a task)."""

_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
_SUCCESS, _FAILED = InvocationStatus.SUCCESS.value, InvocationStatus.FAILED.value


def sources_of_condition(condition: Condition) -> list[Source]:
    """Returns the sources that a condition listens to."""
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
    """Returns the sources that an entry belongs to. `statuses`: those that an invocation's entry represents."""
    if isinstance(entry, EventEmitted):
        return [("event", entry.event_code)]
    if isinstance(entry, CronTicked):
        return [("tick", entry.condition_id)]
    return [(status, entry.task_id) for status in statuses] if isinstance(entry, InvocationEntry) else []


class DecodedEntry:
    """An entry whose fields are decoded at most once."""

    def __init__(self, entry: AnyEntry) -> None:
        self.entry = entry
        self._values: dict[str, Any] = {}

    def value(self, field: str) -> Any:
        """Returns the decoded field. Raises whatever decoding raises."""
        if field not in self._values:
            self._values[field] = msgspec.msgpack.decode(getattr(self.entry, field))
        return self._values[field]


class ConditionCheck:
    """A condition, prepared for checking entries of its sources."""

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

    def outcome(self, decoded: DecodedEntry, code: UserCode) -> FilterOutcome:
        """Returns whether an entry meets the condition."""
        if not self._readable or not self._matches_exception(decoded.entry):
            return FilterOutcome.NO
        try:
            if not all(passes(decoded.value(field), wanted) for field, passes, wanted in self._equalities):
                return FilterOutcome.NO
        except _UNREADABLE:
            return FilterOutcome.NO
        outcomes = (code.call(filter_, field, decoded.entry) for field, filter_ in self._callables)
        unknown = False
        for outcome in outcomes:
            if outcome is FilterOutcome.NO or (outcome is FilterOutcome.FAILED and not unknown):
                return outcome
            unknown = unknown or outcome is not FilterOutcome.YES
        return FilterOutcome.UNKNOWN if unknown else FilterOutcome.YES

    def _matches_exception(self, entry: AnyEntry) -> bool:
        types = self.condition.exception_types if isinstance(self.condition, ExceptionCondition) else ()
        if not types:
            return True
        return isinstance(entry, Failed) and bool({entry.exception.type, *entry.exception.bases} & set(types))


def _filters(condition: Condition) -> list[tuple[str, Filter]]:
    """Returns every filter with the field that it reads."""
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
