"""Which triggers a leader declares, suspends, resumes and retires, given what live runners have."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from trigger_engine.core.declarations import TriggerInForce
from trigger_engine.entries.definitions import TriggerDefinition, callable_names

SlotAndId = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Changes:
    """What the leader has to append for the log to say what is true now."""

    declared: tuple[TriggerDefinition, ...] = ()
    suspended: tuple[TriggerDefinition, ...] = ()
    resumed: tuple[TriggerDefinition, ...] = ()
    retired: tuple[TriggerDefinition, ...] = ()


def missing(
    in_force: Iterable[TriggerInForce], live: Collection[SlotAndId], known: Mapping[SlotAndId, float], now: float
) -> dict[SlotAndId, float]:
    """Since when no live runner has had each trigger that none has now; `known`: what this said before."""
    pairs = [(content.trigger.slot, content.trigger.id) for content in in_force]
    return {pair: known.get(pair, now) for pair in pairs if pair not in live}


def changes(
    in_force: Iterable[TriggerInForce],
    own: Mapping[str, TriggerDefinition],
    missing_since: Mapping[SlotAndId, float],
    *,
    retire_before: float,
) -> Changes:
    """Compares the triggers in force with the leader's own and with those that no live runner has.

    A trigger that the leader's code lacks goes on while a live runner has it and judging it needs no code. It is
    suspended otherwise, and retired once it has been missing since before `retire_before` (seconds since 1970).
    """
    suspended, resumed, retired = [], [], []
    slots: dict[str, TriggerDefinition] = {}
    for content in in_force:
        trigger = slots[content.trigger.slot] = content.trigger
        since = missing_since.get((trigger.slot, trigger.id))
        judgeable = own.get(trigger.slot) == trigger or (since is None and not callable_names(trigger))
        if judgeable and content.suspended:
            resumed.append(trigger)
        elif not judgeable and not content.suspended and trigger.slot not in own:
            suspended.append(trigger)
        elif content.suspended and since is not None and since < retire_before:
            retired.append(trigger)
    declared = tuple(trigger for slot, trigger in own.items() if slots.get(slot) != trigger)
    return Changes(declared, tuple(suspended), tuple(resumed), tuple(retired))


def yields_to(
    own: tuple[float, float],
    own_triggers: frozenset[tuple[str, str]],
    other: tuple[float, float],
    other_triggers: frozenset[tuple[str, str]],
) -> bool:
    """True when another live runner has another set of triggers and newer code.

    `own`, `other`: (time of the newest code, start of the runner), seconds since 1970.
    """
    return other_triggers != own_triggers and other > own
