"""Joins: the contributions that an AND trigger collects until each of its sources has one.

A source is a condition on an event or a tick, or a group: all conditions on one task, which a single invocation must
meet. What an invocation has met so far is kept as a partial group. When the group is complete it becomes contributions,
and the same invocation may start another group.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from typing import cast

import msgspec

from trigger_engine._engine.decision import Contribution, Limits
from trigger_engine._model.definitions import Condition, condition_task
from trigger_engine._model.encoding import encode_entry
from trigger_engine._model.entries import AnyEntry, InvocationEntry, Position


class ContributionsState(msgspec.Struct, frozen=True, array_like=True):
    """A `Contributions` as data: the positions of its entries, oldest first, and how many the limits dropped."""

    condition_id: str
    positions: tuple[Position, ...]
    dropped: int


class JoinState(msgspec.Struct, frozen=True, array_like=True):
    """A `Join` as data: its contributions, and the partial groups by invocation id."""

    trigger_id: str
    complete: tuple[ContributionsState, ...]
    partial: dict[str, tuple[ContributionsState, ...]]


class ConditionWaiting(msgspec.Struct, frozen=True):
    """What an AND trigger has for one condition.

    `kept`: contributions (0: the condition is missing). `partial`: entries in partial groups. `dropped`: contributions
    that the limits dropped.
    """

    condition_id: str
    kept: int
    partial: int
    dropped: int


class Contributions:
    """The newest contributions to one condition, within the limits, oldest first."""

    __slots__ = ("_bytes", "_items", "dropped")

    def __init__(self) -> None:
        self._items: deque[tuple[Position, AnyEntry, int]] = deque()
        self._bytes = 0
        self.dropped = 0

    def __len__(self) -> int:
        return len(self._items)

    def add(self, position: Position, entry: AnyEntry, size: int, limits: Limits) -> None:
        """Adds a contribution of `size` bytes and drops the oldest ones beyond the limits."""
        self._items.append((position, entry, size))
        self._bytes += size
        while len(self._items) > 1 and (
            len(self._items) > limits.max_contributions or self._bytes > limits.max_contribution_bytes
        ):
            self._bytes -= self._items.popleft()[2]
            self.dropped += 1

    def extend(self, other: Contributions, limits: Limits) -> None:
        """Adds all contributions of another instance as the newest."""
        self.dropped += other.dropped
        for position, entry, size in other._items:
            self.add(position, entry, size, limits)

    def entries(self) -> Iterable[tuple[Position, AnyEntry]]:
        """The kept entries with their positions, oldest first."""
        return ((position, entry) for position, entry, _ in self._items)

    def state(self, condition_id: str) -> ContributionsState:
        return ContributionsState(condition_id, tuple(position for position, _, _ in self._items), self.dropped)


OpenGroups = dict[str, dict["Join", None]]
"""The joins that hold a partial group, by invocation id."""


class Join:
    """The contributions of one AND trigger. All joins share and update `open_groups`."""

    __slots__ = ("_complete", "_groups", "_limits", "_open_groups", "_partial", "_required")

    def __init__(self, conditions: Iterable[Condition], limits: Limits, open_groups: OpenGroups) -> None:
        by_source: dict[tuple[str, str], list[str]] = {}
        for condition in conditions:
            task = condition_task(condition)
            source = ("condition", condition.id) if task is None else ("task", task)
            by_source.setdefault(source, []).append(condition.id)
        self._required = tuple(group[0] for group in by_source.values())
        self._groups = {name: frozenset(group) for (_, name), group in by_source.items() if len(group) > 1}
        self._limits = limits
        self._open_groups = open_groups
        self._complete: dict[str, Contributions] = {}
        self._partial: dict[str, dict[str, Contributions]] = {}

    @property
    def grouped_tasks(self) -> Iterable[str]:
        """The ids of the tasks that several conditions watch."""
        return self._groups.keys()

    def add(self, position: Position, entry: AnyEntry, condition_ids: Sequence[str]) -> bool:
        """Adds an entry that meets these conditions. Returns True if every source has a contribution now."""
        size = len(encode_entry(entry))
        group = self._groups.get(entry.task_id) if self._groups and isinstance(entry, InvocationEntry) else None
        if group is None:
            for condition_id in condition_ids:
                self._complete_for(condition_id).add(position, entry, size, self._limits)
        elif not self._add_to_group(position, cast(InvocationEntry, entry), condition_ids, size, group):
            return False
        return all(condition_id in self._complete for condition_id in self._required)

    def _add_to_group(
        self, position: Position, entry: InvocationEntry, condition_ids: Sequence[str], size: int, group: frozenset[str]
    ) -> bool:
        """Returns True if the entry has completed the group of its invocation."""
        partial = self._partial.setdefault(entry.invocation_id, {})
        self._open_groups.setdefault(entry.invocation_id, {})[self] = None
        for condition_id in condition_ids:
            partial.setdefault(condition_id, Contributions()).add(position, cast(AnyEntry, entry), size, self._limits)
        if partial.keys() != group:
            return False
        self.drop_group(entry.invocation_id)
        for condition_id, contributions in partial.items():
            self._complete_for(condition_id).extend(contributions, self._limits)
        return True

    def take(self, conditions: dict[str, Condition]) -> tuple[list[Contribution], int]:
        """Removes and returns all contributions and the number of dropped ones.

        They are ordered by position, then in the order of `conditions`.
        """
        found = [
            (condition, position, entry)
            for condition_id, condition in conditions.items()
            for position, entry in self._complete[condition_id].entries()
        ]
        found.sort(key=lambda contribution: contribution[1])
        dropped = sum(contributions.dropped for contributions in self._complete.values())
        self._complete = {}
        return found, dropped

    def fired(self, cause: AnyEntry) -> None:
        """Removes the contributions that went into the run which this entry completed."""
        self._complete = {}
        if isinstance(cause, InvocationEntry) and cause.invocation_id in self._partial:
            self.drop_group(cause.invocation_id)

    def drop_group(self, invocation_id: str) -> None:
        """Removes the partial group of an invocation."""
        del self._partial[invocation_id]
        holders = self._open_groups[invocation_id]
        del holders[self]
        if not holders:
            del self._open_groups[invocation_id]

    def clear(self) -> None:
        """Removes all contributions and partial groups."""
        self._complete = {}
        for invocation_id in list(self._partial):
            self.drop_group(invocation_id)

    def waiting(self, condition_ids: Iterable[str]) -> tuple[ConditionWaiting, ...]:
        """What the join has for each condition."""
        empty = Contributions()
        return tuple(
            ConditionWaiting(
                condition_id,
                len(self._complete.get(condition_id, empty)),
                sum(len(group.get(condition_id, empty)) for group in self._partial.values()),
                self._complete.get(condition_id, empty).dropped,
            )
            for condition_id in condition_ids
        )

    def held(self) -> Iterable[tuple[Position, AnyEntry]]:
        """All entries that the join holds; some more than once."""
        for by_condition in (self._complete, *self._partial.values()):
            for contributions in by_condition.values():
                yield from contributions.entries()

    def state(self, trigger_id: str) -> JoinState | None:
        """The join as data, or None if it is empty."""
        if not self._complete and not self._partial:
            return None
        return JoinState(
            trigger_id, _states(self._complete), {key: _states(group) for key, group in self._partial.items()}
        )

    def load(self, state: JoinState, entries: dict[Position, tuple[AnyEntry, int]]) -> None:
        """Restores a saved state. `entries`: each with its size in bytes, by position."""
        self._complete = self._restored(state.complete, entries)
        for invocation_id, group in state.partial.items():
            self._partial[invocation_id] = self._restored(group, entries)
            self._open_groups.setdefault(invocation_id, {})[self] = None

    def _restored(
        self, states: Iterable[ContributionsState], entries: dict[Position, tuple[AnyEntry, int]]
    ) -> dict[str, Contributions]:
        by_condition: dict[str, Contributions] = {}
        for state in states:
            contributions = by_condition[state.condition_id] = Contributions()
            for position in state.positions:
                contributions.add(position, *entries[position], self._limits)
            contributions.dropped += state.dropped
        return by_condition

    def _complete_for(self, condition_id: str) -> Contributions:
        contributions = self._complete.get(condition_id)
        if contributions is None:
            contributions = self._complete[condition_id] = Contributions()
        return contributions


def _states(by_condition: dict[str, Contributions]) -> tuple[ContributionsState, ...]:
    return tuple(contributions.state(condition_id) for condition_id, contributions in sorted(by_condition.items()))
