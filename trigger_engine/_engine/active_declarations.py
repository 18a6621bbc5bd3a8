"""Which triggers are active: the fold of declarations, suspensions, resumptions and retirements over the slots."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

import msgspec

from trigger_engine._model.definitions import CronCondition, TriggerDefinition
from trigger_engine._model.entries import (
    Position,
    TriggerResumed,
    TriggerRetired,
    TriggersDeclared,
    TriggerSuspended,
)

DeclarationEntry = TriggersDeclared | TriggerSuspended | TriggerResumed | TriggerRetired


class ActiveTrigger(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """The content of a slot. Times are seconds since 1970.

    `declared_at`: position from which the trigger has been active in some slot without interruption (0: from the start
    of the log). `since`: the time of that declaration. `suspended`: the trigger is not evaluated now.
    """

    trigger: TriggerDefinition
    declared_at: Position
    since: float
    suspended: bool = False


class ActiveCron(NamedTuple):
    """A schedule that an active trigger waits for. Times are seconds since 1970.

    `since`: since when some active trigger has had the schedule, without interruption. `last_tick`: the scheduled time
    of the newest tick after `since`, None before the first one.
    """

    condition: CronCondition
    last_tick: float | None
    since: float


class ActiveDeclarations:
    """The active trigger of each slot, in the order of declaration.

    `cron_since`: since when each active schedule has been active, by condition id; seconds since 1970.
    """

    def __init__(
        self, active_triggers: Iterable[ActiveTrigger] = (), cron_since: Mapping[str, float] | None = None
    ) -> None:
        self.slots: dict[str, ActiveTrigger] = {}
        self.cron_since: dict[str, float] = dict(cron_since or {})
        self._slots_of: dict[str, tuple[str, ...]] = {}
        self._cron_slots: dict[str, dict[str, None]] = {}
        for content in active_triggers:
            self._put(content)

    def copy(self) -> ActiveDeclarations:
        """An independent copy."""
        return ActiveDeclarations(self.slots.values(), self.cron_since)

    def of(self, trigger_id: str) -> list[ActiveTrigger]:
        """The slots that hold a trigger, the last declared last; empty if the trigger is not active."""
        return [self.slots[slot] for slot in self._slots_of.get(trigger_id, ())]

    def crons(self, last_ticks: Mapping[str, float]) -> Iterator[ActiveCron]:
        """Every active schedule, once. `last_ticks`: scheduled time of the newest tick, by condition id; of any age."""
        for condition_id, slots in self._cron_slots.items():
            condition = _cron_conditions(self.slots[next(iter(slots))].trigger)[condition_id]
            since, last = self.cron_since[condition_id], last_ticks.get(condition_id)
            yield ActiveCron(condition, last if last is not None and last > since else None, since)

    def apply(self, position: Position, entry: DeclarationEntry) -> list[str]:
        """Folds a valid entry and returns the ids of the triggers that may have changed.

        `position`: where a declaration takes effect.
        """
        touched = self._declare(position, entry) if isinstance(entry, TriggersDeclared) else self._change(entry)
        for condition_id in [cron for cron, slots in self._cron_slots.items() if not slots]:
            del self._cron_slots[condition_id], self.cron_since[condition_id]
        return touched

    def _change(self, entry: TriggerSuspended | TriggerResumed | TriggerRetired) -> list[str]:
        content = self.slots.get(entry.slot)
        if content is None or content.trigger.id != entry.trigger_id:
            return []
        if isinstance(entry, TriggerRetired):
            self._remove(entry.slot)
        else:
            suspended = isinstance(entry, TriggerSuspended)
            self.slots[entry.slot] = msgspec.structs.replace(content, suspended=suspended)
        return [entry.trigger_id]

    def _declare(self, position: Position, entry: TriggersDeclared) -> list[str]:
        replaced: dict[str, ActiveTrigger] = {}
        touched: dict[str, None] = {}
        for definition in entry.triggers:
            before = self.slots.get(definition.slot)
            if before is not None:
                self._remove(definition.slot)
                replaced.setdefault(before.trigger.id, before)
                touched[before.trigger.id] = None
            held = self._slots_of.get(definition.id)
            known = self.slots[held[0]] if held else replaced.get(definition.id)
            declared_at, since = (known.declared_at, known.since) if known else (position, entry.time)
            self._put(ActiveTrigger(definition, declared_at, since))
            touched[definition.id] = None
        return list(touched)

    def _put(self, content: ActiveTrigger) -> None:
        slot = content.trigger.slot
        self.slots[slot] = content
        self._slots_of[content.trigger.id] = (*self._slots_of.get(content.trigger.id, ()), slot)
        for condition_id in _cron_conditions(content.trigger):
            self._cron_slots.setdefault(condition_id, {})[slot] = None
            self.cron_since.setdefault(condition_id, content.since)

    def _remove(self, slot: str) -> None:
        definition = self.slots.pop(slot).trigger
        others = tuple([other for other in self._slots_of.pop(definition.id) if other != slot])
        if others:
            self._slots_of[definition.id] = others
        for condition_id in _cron_conditions(definition):
            del self._cron_slots[condition_id][slot]


def _cron_conditions(trigger: TriggerDefinition) -> dict[str, CronCondition]:
    return {condition.id: condition for condition in trigger.conditions if type(condition) is CronCondition}
