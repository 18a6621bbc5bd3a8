"""What a record of judged entries says of each of them."""

from __future__ import annotations

from collections.abc import Iterable

from trigger_engine.entries.facts import ChainEnded, ContributionKept, TriggerFired, TriggerRejected

Output = TriggerFired | TriggerRejected | ChainEnded

Kept = dict[str, dict[str, list[str]]]
"""Condition ids by entry id, then trigger id."""

Fired = dict[str, list[str]]
"""Ids of the triggers that an entry completed, by entry id."""


def recorded_steps(outputs: Iterable[Output], kept: Iterable[ContributionKept]) -> tuple[Kept, Fired]:
    """What each entry contributed before it or another completed a run, and which triggers it completed.

    A contribution that waited only for a run of the same record is not in `kept`: the run's participants name it.
    """
    contributed: dict[str, dict[str, list[str]]] = {}
    fired: dict[str, list[str]] = {}
    for one in kept:
        contributed.setdefault(one.entry_id, {}).setdefault(one.trigger_id, []).append(one.condition_id)
    for output in outputs:
        if isinstance(output, ChainEnded):
            fired.setdefault(output.entry_id, []).append(output.trigger_id)
            continue
        if output.cause is not None:
            fired.setdefault(output.cause, []).append(output.trigger_id)
        for participant in output.participants:
            if participant.entry_id != output.cause:
                by_trigger = contributed.setdefault(participant.entry_id, {})
                by_trigger.setdefault(output.trigger_id, []).append(participant.condition_id)
    return contributed, fired
