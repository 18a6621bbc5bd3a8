"""The triggers in force at each entry, and which of them listen to it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from trigger_engine.audit.collecting import AuditLimits, Collecting
from trigger_engine.audit.conditions import Asked, Source, sources_of_condition, sources_of_entry
from trigger_engine.entries.definitions import TriggerDefinition, condition_task
from trigger_engine.entries.facts import (
    AnyEntry,
    InvocationEntry,
    TriggerResumed,
    TriggerRetired,
    TriggersDeclared,
    TriggerSuspended,
)

Change = TriggersDeclared | TriggerSuspended | TriggerResumed | TriggerRetired
CHANGES = (TriggersDeclared, TriggerSuspended, TriggerResumed, TriggerRetired)


class _Content(NamedTuple):
    definition: TriggerDefinition
    suspended: bool


class Watched:
    """A trigger in force, in whatever slots hold it.

    `active`: some slot is not suspended; `slot`: the first of these. `asked`: its conditions, each once.
    `collecting`: None where one entry is enough.
    """

    def __init__(self, definition: TriggerDefinition, limits: AuditLimits) -> None:
        self.adopt(definition)
        several = definition.logic == "and" and len(self.asked) > 1
        conditions = [asked.condition for asked in self.asked.values()]
        self.collecting = Collecting(conditions, limits) if several else None
        self.active = True
        self.slot = definition.slot

    def adopt(self, definition: TriggerDefinition) -> None:
        """Takes a newer declaration of the same trigger."""
        self.definition = definition
        self.asked = {condition.id: Asked(condition) for condition in definition.conditions}


class InForce:
    """Folds declarations and their changes."""

    def __init__(self, limits: AuditLimits) -> None:
        self._limits = limits
        self._slots: dict[str, _Content] = {}
        self._watched: dict[str, Watched] = {}
        self._listening: dict[Source, list[tuple[Watched, str]]] = {}
        self._tasks: set[str] = set()
        self._grouping: dict[str, list[Collecting]] = {}

    def apply(self, change: Change) -> None:
        """Takes a change; it holds for the entries after it."""
        if isinstance(change, TriggersDeclared):
            for definition in change.triggers:
                self._slots.pop(definition.slot, None)
                self._slots[definition.slot] = _Content(definition, False)
        else:
            content = self._slots.get(change.slot)
            if content is None or content.definition.id != change.trigger_id:
                return
            if isinstance(change, TriggerRetired):
                del self._slots[change.slot]
            else:
                self._slots[change.slot] = content._replace(suspended=isinstance(change, TriggerSuspended))
        self._settle()

    def find(self, trigger_id: str) -> Watched | None:
        """A trigger in force."""
        return self._watched.get(trigger_id)

    def concerns(self, entry: AnyEntry) -> bool:
        """Whether some trigger may listen to an entry, or hold something of its invocation."""
        if isinstance(entry, InvocationEntry):
            return entry.task_id in self._tasks
        return any(source in self._listening for source in sources_of_entry(entry, ()))

    def listening(self, entry: AnyEntry, statuses: tuple[str, ...]) -> Iterable[tuple[Watched, list[Asked]]]:
        """Every trigger that listens to an entry, with the conditions that do, in the order of their declaration."""
        found: dict[str, tuple[Watched, set[str]]] = {}
        for source in sources_of_entry(entry, statuses):
            for watched, condition_id in self._listening.get(source, ()):
                found.setdefault(watched.definition.id, (watched, set()))[1].add(condition_id)
        for watched, condition_ids in found.values():
            yield watched, [asked for condition_id, asked in watched.asked.items() if condition_id in condition_ids]

    def end(self, task_id: str, invocation_id: str) -> None:
        """Tells the groups on a task that one of its invocations has ended."""
        for collecting in self._grouping.get(task_id, ()):
            collecting.end(invocation_id)

    def _settle(self) -> None:
        by_trigger: dict[str, list[_Content]] = {}
        for content in self._slots.values():
            by_trigger.setdefault(content.definition.id, []).append(content)
        self._watched = {id_: self._watch(id_, contents) for id_, contents in by_trigger.items()}
        self._listening, self._tasks, self._grouping = {}, set(), {}
        for watched in self._watched.values():
            for asked in watched.asked.values():
                for source in sources_of_condition(asked.condition):
                    self._listening.setdefault(source, []).append((watched, asked.condition.id))
                task = condition_task(asked.condition)
                if task is not None:
                    self._tasks.add(task)
            if watched.collecting is not None:
                for task in watched.collecting.groups:
                    self._grouping.setdefault(task, []).append(watched.collecting)

    def _watch(self, trigger_id: str, contents: list[_Content]) -> Watched:
        watched = self._watched.get(trigger_id)
        newest = contents[-1].definition
        if watched is None:
            watched = Watched(newest, self._limits)
        elif watched.definition is not newest:
            watched.adopt(newest)
        awake = [content.definition.slot for content in contents if not content.suspended]
        watched.active = bool(awake)
        watched.slot = min(awake, default=newest.slot)
        return watched
