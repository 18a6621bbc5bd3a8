"""The active triggers at each entry, and which of them listen to it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from trigger_engine._audit.conditions import ConditionCheck, Source, sources_of_condition, sources_of_entry
from trigger_engine._audit.join_state import AuditLimits, JoinState
from trigger_engine._model.definitions import TriggerDefinition, condition_task
from trigger_engine._model.entries import (
    AnyEntry,
    InvocationEntry,
    TriggerResumed,
    TriggerRetired,
    TriggersDeclared,
    TriggerSuspended,
)

Change = TriggersDeclared | TriggerSuspended | TriggerResumed | TriggerRetired
CHANGES = (TriggersDeclared, TriggerSuspended, TriggerResumed, TriggerRetired)


class _Slot(NamedTuple):
    definition: TriggerDefinition
    suspended: bool


class WatchedTrigger:
    """A declared trigger, in one or more slots.

    `active`: at least one slot is not suspended. `slot`: the first such slot. `checks`: its conditions by id.
    `join`: None if a single entry completes the trigger.
    """

    def __init__(self, definition: TriggerDefinition, limits: AuditLimits) -> None:
        self.adopt(definition)
        is_join = definition.logic == "and" and len(self.checks) > 1
        conditions = [check.condition for check in self.checks.values()]
        self.join = JoinState(conditions, limits) if is_join else None
        self.active = True
        self.slot = definition.slot

    def adopt(self, definition: TriggerDefinition) -> None:
        """Replaces the definition with a newer one of the same trigger."""
        self.definition = definition
        self.checks = {condition.id: ConditionCheck(condition) for condition in definition.conditions}


class ActiveTriggers:
    """Folds declarations and their later changes."""

    def __init__(self, limits: AuditLimits) -> None:
        self._limits = limits
        self._slots: dict[str, _Slot] = {}
        self._watched: dict[str, WatchedTrigger] = {}
        self._listening: dict[Source, list[tuple[WatchedTrigger, str]]] = {}
        self._tasks: set[str] = set()
        self._grouping: dict[str, list[JoinState]] = {}

    def apply(self, change: Change) -> None:
        """Applies a change to the entries after it."""
        if isinstance(change, TriggersDeclared):
            for definition in change.triggers:
                self._slots.pop(definition.slot, None)
                self._slots[definition.slot] = _Slot(definition, False)
        else:
            slot = self._slots.get(change.slot)
            if slot is None or slot.definition.id != change.trigger_id:
                return
            if isinstance(change, TriggerRetired):
                del self._slots[change.slot]
            else:
                self._slots[change.slot] = slot._replace(suspended=isinstance(change, TriggerSuspended))
        self._rebuild()

    def find(self, trigger_id: str) -> WatchedTrigger | None:
        """Returns a declared trigger, or None."""
        return self._watched.get(trigger_id)

    def concerns(self, entry: AnyEntry) -> bool:
        """Returns whether a trigger may listen to the entry or hold contributions of its invocation."""
        if isinstance(entry, InvocationEntry):
            return entry.task_id in self._tasks
        return any(source in self._listening for source in sources_of_entry(entry, ()))

    def listening(
        self, entry: AnyEntry, statuses: tuple[str, ...]
    ) -> Iterable[tuple[WatchedTrigger, list[ConditionCheck]]]:
        """Yields each trigger that listens to the entry, with its listening conditions in declaration order."""
        found: dict[str, tuple[WatchedTrigger, set[str]]] = {}
        for source in sources_of_entry(entry, statuses):
            for watched, condition_id in self._listening.get(source, ()):
                found.setdefault(watched.definition.id, (watched, set()))[1].add(condition_id)
        for watched, condition_ids in found.values():
            yield watched, [check for condition_id, check in watched.checks.items() if condition_id in condition_ids]

    def end(self, task_id: str, invocation_id: str) -> None:
        """Drops the incomplete contributions of an ended invocation."""
        for join in self._grouping.get(task_id, ()):
            join.end(invocation_id)

    def _rebuild(self) -> None:
        by_trigger: dict[str, list[_Slot]] = {}
        for slot in self._slots.values():
            by_trigger.setdefault(slot.definition.id, []).append(slot)
        self._watched = {id_: self._watch(id_, slots) for id_, slots in by_trigger.items()}
        self._listening, self._tasks, self._grouping = {}, set(), {}
        for watched in self._watched.values():
            for check in watched.checks.values():
                for source in sources_of_condition(check.condition):
                    self._listening.setdefault(source, []).append((watched, check.condition.id))
                task = condition_task(check.condition)
                if task is not None:
                    self._tasks.add(task)
            if watched.join is not None:
                for task in watched.join.groups:
                    self._grouping.setdefault(task, []).append(watched.join)

    def _watch(self, trigger_id: str, slots: list[_Slot]) -> WatchedTrigger:
        watched = self._watched.get(trigger_id)
        newest = slots[-1].definition
        if watched is None:
            watched = WatchedTrigger(newest, self._limits)
        elif watched.definition is not newest:
            watched.adopt(newest)
        active_slots = [slot.definition.slot for slot in slots if not slot.suspended]
        watched.active = bool(active_slots)
        watched.slot = min(active_slots, default=newest.slot)
        return watched
