"""The oracle: a naive matcher that looks at the whole log again for every entry and decides which triggers must run.

Written only from the documented semantics: no index, no state, no incremental fold.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from trigger_engine._engine.decision import Limits
from trigger_engine._engine.lifecycle import InvocationState, InvocationStatus, move, statuses_reached
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
    TriggerDefinition,
)
from trigger_engine._model.encoding import encode_entry
from trigger_engine._model.entries import (
    AnyEntry,
    Cancelled,
    CronTicked,
    EventEmitted,
    Failed,
    InvocationEntry,
    InvocationRegistered,
    LeaderElected,
    Position,
    RetentionApplied,
    StatusEntry,
    Succeeded,
    TriggerFired,
    TriggerResumed,
    TriggerRetired,
    TriggersDeclared,
    TriggerSuspended,
)
from trigger_engine._model.ids import run_id

Entries = Sequence[tuple[Position, AnyEntry]]
CallFilter = Callable[[str, Any], bool]
"""Calls the filter with a name on a value; it may raise."""


@dataclass(frozen=True)
class Run:
    """A trigger run, or one that did not start because it was too deep (`ended`)."""

    trigger_id: str
    run_id: str
    participants: tuple[tuple[str, str], ...]
    dropped: int
    depth: int
    ended: bool


@dataclass(frozen=True)
class Expected:
    """The expected outcome of a log: runs, and (condition id, entry id) of filters that raise."""

    runs: list[Run]
    failures: set[tuple[str, str]]


_Ends = list[tuple[Position, str]]
"""The positions at which invocations end. If a key is forgotten and used again, its invocation starts a new life."""


@dataclass(frozen=True)
class _Content:
    trigger: TriggerDefinition
    suspended: bool


@dataclass(frozen=True)
class _Met:
    condition: Condition
    position: Position
    entry: AnyEntry


def expected(log: Entries, limits: Limits, call: CallFilter, *, track_keys: bool) -> Expected:
    """The expected outcome of the whole log."""
    valid = valid_entries(log, track_keys=track_keys)
    declared = [entry for _, entry in valid if isinstance(entry, TriggersDeclared)]
    runs: list[Run] = []
    failures: set[tuple[str, str]] = set()
    for trigger_id in sorted({trigger.id for entry in declared for trigger in entry.triggers}):
        runs += runs_of(trigger_id, valid, limits, call, failures)
    return Expected(runs, failures)


def valid_entries(log: Entries, *, track_keys: bool) -> list[tuple[Position, AnyEntry]]:
    """The entries that are not void."""
    valid: list[tuple[Position, AnyEntry]] = []
    for position, entry in log:
        if not is_void(entry, valid, track_keys=track_keys):
            valid.append((position, entry))
    return valid


def is_void(entry: AnyEntry, before: Entries, *, track_keys: bool) -> bool:
    """True if an entry is void after these valid ones."""
    term = getattr(entry, "term", None)
    if term is not None:
        newest = {e.name: position for position, e in before if isinstance(e, LeaderElected)}
        if term not in newest.values():
            return True
    if track_keys and _may_repeat(entry) and _known(entry, before):
        return True
    if isinstance(entry, InvocationRegistered | TriggerFired):
        return _state(entry.invocation_id, before) is not None
    if isinstance(entry, StatusEntry):
        state = _state(entry.invocation_id, before)
        return state is None or isinstance(move(state, entry), str)
    return False


def _may_repeat(entry: AnyEntry) -> bool:
    keyed = isinstance(entry, EventEmitted | InvocationRegistered) and entry.keyed
    return keyed or isinstance(entry, CronTicked | LeaderElected)


def _known(entry: AnyEntry, before: Entries) -> bool:
    known = False
    for _, earlier in before:
        if isinstance(earlier, RetentionApplied) and known:
            first = next(e for _, e in reversed(before) if e.id == entry.id)
            known = first.time >= earlier.keys_before
        known = known or earlier.id == entry.id
    return known


def _state(invocation_id: str, before: Entries) -> InvocationState | None:
    """The state of an open invocation."""
    state: InvocationState | None = None
    for _, entry in before:
        if isinstance(entry, InvocationEntry) and entry.invocation_id == invocation_id:
            if isinstance(entry, InvocationRegistered | TriggerFired):
                state = InvocationState()
            elif state is not None and isinstance(entry, StatusEntry):
                after = move(state, entry)
                assert not isinstance(after, str)
                state = None if after.status.is_final else after
    return state


def _slots(before: Entries, valid: Entries) -> dict[str, _Content]:
    """The slots after the entries `before`, the last declared last."""
    first = next((entry for _, entry in valid if isinstance(entry, TriggersDeclared)), None)
    slots: dict[str, _Content] = {}
    if first is not None and first.from_start:
        _declare(slots, first)
    first_is_read = False
    for _, entry in before:
        if isinstance(entry, TriggersDeclared):
            first_is_read = True
            _declare(slots, entry)
        elif isinstance(entry, TriggerSuspended | TriggerResumed | TriggerRetired) and first_is_read:
            content = slots.get(entry.slot)
            if content is not None and content.trigger.id == entry.trigger_id:
                if isinstance(entry, TriggerRetired):
                    del slots[entry.slot]
                else:
                    slots[entry.slot] = _Content(content.trigger, isinstance(entry, TriggerSuspended))
    return slots


def _declare(slots: dict[str, _Content], entry: TriggersDeclared) -> None:
    for trigger in entry.triggers:
        slots.pop(trigger.slot, None)
        slots[trigger.slot] = _Content(trigger, False)


def runs_of(
    trigger_id: str, valid: Entries, limits: Limits, call: CallFilter, failures: set[tuple[str, str]]
) -> list[Run]:
    """The runs of one trigger, given the valid entries. Filters that raise are added to `failures`."""
    runs: list[Run] = []
    history: list[_Met] = []
    fired_at = 0
    ends = [(p, e.invocation_id) for p, e in valid if isinstance(e, Succeeded | Failed | Cancelled)]
    for index, (position, entry) in enumerate(valid):
        contents = [c for c in _slots(valid[:index], valid).values() if c.trigger.id == trigger_id]
        if not contents:
            history, fired_at = [], 0
        if all(content.suspended for content in contents):
            continue
        trigger = contents[-1].trigger
        conditions = {condition.id: condition for condition in trigger.conditions}
        reached = _reached(entry, valid[:index])
        met = [_Met(c, position, entry) for c in conditions.values() if _meets(c, entry, reached, call, failures)]
        if not met:
            continue
        history += met
        is_or = trigger.logic == "or"
        found = (met, 0) if is_or else _complete(list(conditions.values()), history, ends, fired_at, limits)
        if found is None:
            continue
        fired_at = position
        contributions, dropped = found
        contributions = sorted(contributions, key=lambda c: (c.position, list(conditions).index(c.condition.id)))
        depth = 1 + max(c.entry.depth for c in contributions)
        runs.append(
            Run(
                trigger_id,
                run_id(trigger_id, [c.entry.id for c in contributions]),
                tuple((c.condition.id, c.entry.id) for c in contributions),
                dropped,
                depth,
                depth > limits.max_chain_length,
            )
        )
    return runs


def _complete(
    conditions: list[Condition], history: list[_Met], ends: _Ends, fired_at: Position, limits: Limits
) -> tuple[list[_Met], int] | None:
    """The contributions with which an AND trigger fires now; None while a source has none."""
    found: list[_Met] = []
    dropped = 0
    for task in {getattr(condition, "task_id", None): None for condition in conditions}:
        on_task = [condition.id for condition in conditions if getattr(condition, "task_id", None) == task]
        for group in [on_task] if task is not None else [[condition_id] for condition_id in on_task]:
            for condition_id in group:
                arrived: list[_Met] = []
                for completed_at, contributions in _groups(group, history, ends):
                    if completed_at > fired_at:
                        kept, lost = _newest(contributions[condition_id], limits)
                        arrived, dropped = arrived + kept, dropped + lost
                if not arrived:
                    return None
                kept, lost = _newest(arrived, limits)
                found, dropped = found + kept, dropped + lost
    return found, dropped


def _groups(group: list[str], history: list[_Met], ends: _Ends) -> list[tuple[Position, dict[str, list[_Met]]]]:
    """The completed groups: the position of completion, and the contributions by condition."""
    complete: list[tuple[Position, dict[str, list[_Met]]]] = []
    by_life: dict[tuple[str, int], dict[str, list[_Met]]] = {}
    entries = {met.position: met.entry for met in history if met.condition.id in group}
    for position, entry in sorted(entries.items(), key=lambda item: item[0]):
        name = entry.invocation_id if isinstance(entry, InvocationEntry) else entry.id
        life = (name, sum(ended == name for at, ended in ends if at < position))
        partial = by_life.setdefault(life, {})
        for met in history:
            if met.position == position and met.condition.id in group:
                partial.setdefault(met.condition.id, []).append(met)
        if len(partial) == len(group):
            complete.append((position, by_life.pop(life)))
    return complete


def _newest(contributions: list[_Met], limits: Limits) -> tuple[list[_Met], int]:
    """The newest contributions within the limits, at least one, and the number of those left out."""
    for left_out in range(len(contributions)):
        kept = contributions[left_out:]
        size = sum(len(encode_entry(met.entry)) for met in kept)
        fits = len(kept) <= limits.max_contributions and size <= limits.max_contribution_bytes
        if fits or len(kept) == 1:
            return kept, left_out
    return [], 0


def _reached(entry: AnyEntry, before: Entries) -> set[str]:
    """The statuses that a valid entry stands for."""
    if isinstance(entry, InvocationRegistered | TriggerFired):
        return {InvocationStatus.REGISTERED.value}
    if not isinstance(entry, StatusEntry):
        return set()
    state = _state(entry.invocation_id, before)
    assert state is not None
    after = move(state, entry)
    assert not isinstance(after, str)
    return {status.value for status in statuses_reached(state.status, after.status)}


def _meets(
    condition: Condition, entry: Any, reached: set[str], call: CallFilter, failures: set[tuple[str, str]]
) -> bool:
    filters: list[tuple[Filter | None, Any]] = []
    applies = False
    match condition:
        case CronCondition():
            return isinstance(entry, CronTicked) and entry.condition_id == condition.id
        case EventCondition():
            applies = isinstance(entry, EventEmitted) and entry.event_code == condition.event_code
            filters = [(condition.payload_filter, "payload")]
        case StatusCondition():
            applies = bool(reached & set(condition.statuses)) and entry.task_id == condition.task_id
            filters = [(condition.call_arguments, "arguments")]
        case ResultCondition():
            applies = isinstance(entry, Succeeded) and entry.task_id == condition.task_id
            filters = [(condition.call_arguments, "arguments"), (condition.result_filter, "result")]
        case AnyResultCondition():
            applies = isinstance(entry, Succeeded | Failed) and entry.task_id == condition.task_id
            filters = [(condition.call_arguments, "arguments")]
        case ExceptionCondition():
            applies = isinstance(entry, Failed) and entry.task_id == condition.task_id
            names = {entry.exception.type, *entry.exception.bases} if applies else set()
            applies = applies and (not condition.exception_types or bool(names & set(condition.exception_types)))
            filters = [(condition.call_arguments, "arguments")]
    if not applies:
        return False
    asked = [(f, msgspec.msgpack.decode(getattr(entry, subject))) for f, subject in filters if f is not None]
    if not all(equal_filter(f, value) for f, value in asked if not isinstance(f, CallableFilter)):
        return False
    try:
        return all(call(f.name, value) for f, value in asked if isinstance(f, CallableFilter))
    except Exception:
        failures.add((condition.id, entry.id))
        return False


def equal_filter(f: Any, value: Any) -> bool:
    """True if a value passes a mapping or equality filter."""
    wanted = msgspec.msgpack.decode(f.value)
    return holds(value, wanted) if isinstance(f, MappingFilter) else same(value, wanted)


def holds(value: Any, wanted: Any) -> bool:
    """True if a value holds everything wanted."""
    if not isinstance(wanted, dict):
        return same(value, wanted)
    if not isinstance(value, dict):
        return False
    return all(any(same(k, key) and holds(v, item) for k, v in value.items()) for key, item in wanted.items())


def same(one: Any, other: Any) -> bool:
    """True if filters treat two decoded values as equal."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        return len(one) == len(other) and all(same(a, b) for a, b in zip(one, other, strict=True))
    if isinstance(one, dict) and isinstance(other, dict):
        found = [any(same(k, key) and same(v, item) for key, item in other.items()) for k, v in one.items()]
        return len(one) == len(other) and all(found)
    if isinstance(one, float) and isinstance(other, float) and one != one:
        return other != other
    return bool(one == other)
