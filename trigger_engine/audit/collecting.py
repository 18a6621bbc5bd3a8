"""What an AND has collected, told by the rules: everything since it fired, within the limits."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import NamedTuple

import msgspec

from trigger_engine.entries.definitions import Condition, condition_task
from trigger_engine.entries.facts import AnyEntry, InvocationEntry, Position


class AuditLimits(msgspec.Struct, frozen=True, kw_only=True):
    """The limits that the app's leaders keep: see the settings with these names."""

    max_chain_length: int = 100
    max_contributions: int = 1_000
    max_contribution_bytes: int = 4 * 1024 * 1024


class Contribution(NamedTuple):
    """An entry that met a condition. `size`: encoded, in bytes."""

    position: Position
    condition_id: str
    entry_id: str
    depth: int
    size: int


class _Pile:
    """The newest contributions to one condition, one at least, and how many the limits left out."""

    def __init__(self) -> None:
        self.items: deque[Contribution] = deque()
        self.bytes = 0
        self.dropped = 0

    def add(self, one: Contribution, limits: AuditLimits) -> None:
        self.items.append(one)
        self.bytes += one.size
        while len(self.items) > 1 and (
            len(self.items) > limits.max_contributions or self.bytes > limits.max_contribution_bytes
        ):
            self.bytes -= self.items.popleft().size
            self.dropped += 1


class Collecting:
    """One AND between two runs."""

    def __init__(self, conditions: Iterable[Condition], limits: AuditLimits) -> None:
        self._limits = limits
        self._order: dict[str, int] = {}
        groups: dict[str, list[str]] = {}
        for place, condition in enumerate(conditions):
            self._order[condition.id] = place
            task = condition_task(condition)
            if task is not None:
                groups.setdefault(task, []).append(condition.id)
        self.groups = {task: set(group) for task, group in groups.items() if len(group) > 1}
        self._piles: dict[str, _Pile] = {}
        self._open: dict[str, dict[str, _Pile]] = {}

    def add(self, entry: AnyEntry, met: list[Contribution]) -> tuple[list[Contribution], int] | None:
        """Takes what one entry has met. All contributions and how many were dropped, if that completes them."""
        group = self.groups.get(entry.task_id) if isinstance(entry, InvocationEntry) else None
        if group is None:
            for one in met:
                self._pile(one.condition_id).add(one, self._limits)
        else:
            assert isinstance(entry, InvocationEntry)
            part = self._open.setdefault(entry.invocation_id, {})
            for one in met:
                part.setdefault(one.condition_id, _Pile()).add(one, self._limits)
            if part.keys() != group:
                return None
            del self._open[entry.invocation_id]
            self._merge(part)
        return self._take() if self._piles.keys() == self._order.keys() else None

    def empty(self, cause: AnyEntry) -> None:
        """Starts anew, as a run does that this entry completed."""
        self._piles = {}
        if isinstance(cause, InvocationEntry):
            self._open.pop(cause.invocation_id, None)

    def end(self, invocation_id: str) -> None:
        """Drops what an ended invocation leaves incomplete."""
        self._open.pop(invocation_id, None)

    def _merge(self, part: dict[str, _Pile]) -> None:
        for condition_id, newer in part.items():
            pile = self._pile(condition_id)
            pile.dropped += newer.dropped
            for one in newer.items:
                pile.add(one, self._limits)

    def _take(self) -> tuple[list[Contribution], int]:
        piles, self._piles = self._piles, {}
        found = [one for pile in piles.values() for one in pile.items]
        found.sort(key=lambda one: (one.position, self._order[one.condition_id]))
        return found, sum(pile.dropped for pile in piles.values())

    def _pile(self, condition_id: str) -> _Pile:
        return self._piles.setdefault(condition_id, _Pile())
