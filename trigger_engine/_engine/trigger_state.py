"""The state of one active trigger: it folds the entries that meet its conditions into firings."""

from __future__ import annotations

from collections.abc import Sequence

from trigger_engine._engine.active_declarations import ActiveTrigger
from trigger_engine._engine.decision import Contribution, EndedChain, Firing, Limits
from trigger_engine._engine.joins import Join, OpenGroups
from trigger_engine._model import ids
from trigger_engine._model.definitions import Condition
from trigger_engine._model.entries import AnyEntry, Participant, Position


class TriggerState:
    """An active trigger, with all the slots that hold it.

    `active`: False if the trigger is suspended in every slot. `conditions`: by id. `join`: None if a single entry can
    fire the trigger.
    """

    __slots__ = ("_limits", "active", "conditions", "join", "slot", "trigger")

    def __init__(self, contents: Sequence[ActiveTrigger], limits: Limits, open_groups: OpenGroups) -> None:
        self._limits = limits
        self.adopt(contents)
        joins = self.trigger.logic == "and" and len(self.conditions) > 1
        self.join = Join(self.conditions.values(), limits, open_groups) if joins else None

    def adopt(self, contents: Sequence[ActiveTrigger]) -> None:
        """Applies the current contents of the slots, the last declared last. Collected contributions are kept."""
        self.trigger = contents[-1].trigger
        self.conditions: dict[str, Condition] = {condition.id: condition for condition in self.trigger.conditions}
        active_slots = [content.trigger.slot for content in contents if not content.suspended]
        self.active = bool(active_slots)
        self.slot = min(active_slots, default=self.trigger.slot)

    def in_order(self, condition_ids: Sequence[str]) -> Sequence[str]:
        """These condition ids in the order in which the trigger declares them."""
        return [condition_id for condition_id in self.conditions if condition_id in condition_ids]

    def fold(self, position: Position, entry: AnyEntry, condition_ids: Sequence[str]) -> Firing | EndedChain | None:
        """Folds an entry that meets these conditions (in order). Returns None if the trigger still waits for others."""
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
