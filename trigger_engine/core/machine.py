"""One trigger, compiled: it folds the entries that meet its conditions into firings."""

from __future__ import annotations

from collections.abc import Sequence

from trigger_engine.core import ids
from trigger_engine.core.declarations import TriggerInForce
from trigger_engine.core.joins import Join, OpenGroups
from trigger_engine.core.judgement import Contribution, EndedChain, Firing, Limits
from trigger_engine.entries.definitions import Condition
from trigger_engine.entries.facts import AnyEntry, Participant, Position


class Machine:
    """A trigger in force, in whatever slots hold it.

    `active`: some slot is not suspended. `conditions`: by id, each once. `join`: None where one entry is enough.
    """

    __slots__ = ("_limits", "active", "conditions", "join", "slot", "trigger")

    def __init__(self, contents: Sequence[TriggerInForce], limits: Limits, open_groups: OpenGroups) -> None:
        self._limits = limits
        self.adopt(contents)
        joins = self.trigger.logic == "and" and len(self.conditions) > 1
        self.join = Join(self.conditions.values(), limits, open_groups) if joins else None

    def adopt(self, contents: Sequence[TriggerInForce]) -> None:
        """Takes what the slots hold now, the last declared last; what is collected stays."""
        self.trigger = contents[-1].trigger
        self.conditions: dict[str, Condition] = {condition.id: condition for condition in self.trigger.conditions}
        awake = [content.trigger.slot for content in contents if not content.suspended]
        self.active = bool(awake)
        self.slot = min(awake, default=self.trigger.slot)

    def in_order(self, condition_ids: Sequence[str]) -> Sequence[str]:
        """These conditions in the order in which the trigger declares them."""
        return [one for one in self.conditions if one in condition_ids]

    def fold(self, position: Position, entry: AnyEntry, condition_ids: Sequence[str]) -> Firing | EndedChain | None:
        """What an entry brings about that meets these conditions (in order); None when they only wait for others."""
        if self.join is None:
            found = [(self.conditions[condition_id], position, entry) for condition_id in condition_ids]
            return self._fire(found, entry, entry.depth + 1, 0)
        if not self.join.add(position, entry, condition_ids):
            return None
        found, dropped = self.join.take(self.conditions)
        return self._fire(found, entry, max([source.depth for _, _, source in found]) + 1, dropped)

    def _fire(self, found: list[Contribution], cause: AnyEntry, depth: int, dropped: int) -> Firing | EndedChain:
        if depth > self._limits.max_chain_length:
            return EndedChain(self.trigger, self.slot, cause.id, depth)
        return Firing(
            trigger=self.trigger,
            slot=self.slot,
            run_id=ids.run_id(self.trigger.id, [entry.id for _, _, entry in found]),
            participants=tuple([Participant(condition.id, entry.id) for condition, _, entry in found]),
            contributions=tuple(found),
            cause=cause.id,
            depth=depth,
            dropped=dropped,
        )
