"""Which triggers a leader declares, suspends, resumes and retires, depending on what live runners declare."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from trigger_engine._engine.active_declarations import ActiveTrigger
from trigger_engine._model.definitions import TriggerDefinition, callable_names

SlotAndId = tuple[str, str]


@dataclass(frozen=True, slots=True)
class TriggerChanges:
    """The triggers for which the leader has to append an entry."""

    declared: tuple[TriggerDefinition, ...] = ()
    suspended: tuple[TriggerDefinition, ...] = ()
    resumed: tuple[TriggerDefinition, ...] = ()
    retired: tuple[TriggerDefinition, ...] = ()


def missing(
    active_triggers: Iterable[ActiveTrigger], live: Collection[SlotAndId], known: Mapping[SlotAndId, float], now: float
) -> dict[SlotAndId, float]:
    """For each trigger that no live runner has: since when. `known`: the previous result."""
    pairs = [(content.trigger.slot, content.trigger.id) for content in active_triggers]
    return {pair: known.get(pair, now) for pair in pairs if pair not in live}


def plan_changes(
    active_triggers: Iterable[ActiveTrigger],
    own: Mapping[str, TriggerDefinition],
    missing_since: Mapping[SlotAndId, float],
    *,
    retire_before: float,
) -> TriggerChanges:
    """Compares the active triggers with the leader's own (`own`) and with those that no live runner has.

    A trigger that the leader does not declare stays active while a live runner has it and its evaluation needs no user
    code. Otherwise it is suspended. It is retired if it has been missing since before `retire_before` (seconds since
    1970).
    """
    suspended, resumed, retired = [], [], []
    slots: dict[str, TriggerDefinition] = {}
    for content in active_triggers:
        trigger = slots[content.trigger.slot] = content.trigger
        since = missing_since.get((trigger.slot, trigger.id))
        can_evaluate = own.get(trigger.slot) == trigger or (since is None and not callable_names(trigger))
        if can_evaluate and content.suspended:
            resumed.append(trigger)
        elif not can_evaluate and not content.suspended and trigger.slot not in own:
            suspended.append(trigger)
        elif content.suspended and since is not None and since < retire_before:
            retired.append(trigger)
    declared = tuple(trigger for slot, trigger in own.items() if slots.get(slot) != trigger)
    return TriggerChanges(declared, tuple(suspended), tuple(resumed), tuple(retired))


def yields_to(
    own: tuple[float, float],
    own_triggers: frozenset[tuple[str, str]],
    other: tuple[float, float],
    other_triggers: frozenset[tuple[str, str]],
) -> bool:
    """True if another live runner has different triggers and newer code, so that it should lead.

    `own`, `other`: (time of the newest code, start of the runner), seconds since 1970.
    """
    return other_triggers != own_triggers and other > own
