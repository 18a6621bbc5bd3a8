"""Joins: what an AND collects until each of its sources has something.

A source is a condition on an event or a tick, or all conditions on one task together: these form a group that one
invocation must meet. What an invocation has met of its group waits apart, as a partial group, and becomes contributions
when the group is complete; then the same invocation may begin another.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from typing import cast

import msgspec

from trigger_engine.core.judgement import Contribution, Limits
from trigger_engine.entries.definitions import Condition, condition_task
from trigger_engine.entries.encoding import encode_entry
from trigger_engine.entries.facts import AnyEntry, InvocationEntry, Position


class StoreState(msgspec.Struct, frozen=True, array_like=True):
    """A `Store` as data: where its entries stand, oldest first, and how many the limits dropped."""

    condition_id: str
    positions: tuple[Position, ...]
    dropped: int


class JoinState(msgspec.Struct, frozen=True, array_like=True):
    """A `Join` as data: its contributions, and the partial groups by invocation id."""

    trigger_id: str
    complete: tuple[StoreState, ...]
    partial: dict[str, tuple[StoreState, ...]]


class ConditionWaiting(msgspec.Struct, frozen=True):
    """What an AND has for one condition: contributions (0: missing), others in partial groups, and dropped ones."""

    condition_id: str
    kept: int
    partial: int
    dropped: int


class Store:
    """The newest contributions to one condition, in the order in which they came, within the limits."""

    __slots__ = ("_bytes", "_items", "dropped")

    def __init__(self) -> None:
        self._items: deque[tuple[Position, AnyEntry, int]] = deque()
        self._bytes = 0
        self.dropped = 0

    def __len__(self) -> int:
        return len(self._items)

    def add(self, position: Position, entry: AnyEntry, size: int, limits: Limits) -> None:
        """Adds a contribution of `size` bytes, and drops the oldest ones beyond the limits."""
        self._items.append((position, entry, size))
        self._bytes += size
        while len(self._items) > 1 and (
            len(self._items) > limits.max_contributions or self._bytes > limits.max_contribution_bytes
        ):
            self._bytes -= self._items.popleft()[2]
            self.dropped += 1

    def extend(self, other: Store, limits: Limits) -> None:
        """Adds everything of another store, as if it came now."""
        self.dropped += other.dropped
        for position, entry, size in other._items:
            self.add(position, entry, size, limits)

    def entries(self) -> Iterable[tuple[Position, AnyEntry]]:
        """What is kept, in the order in which it came."""
        return ((position, entry) for position, entry, _ in self._items)

    def state(self, condition_id: str) -> StoreState:
        return StoreState(condition_id, tuple(position for position, _, _ in self._items), self.dropped)


OpenGroups = dict[str, dict["Join", None]]
"""The joins that hold a partial group, by its invocation id."""


class Join:
    """What one AND has collected.

    `open_groups` is shared by all joins and kept up to date by each.
    """

    __slots__ = ("_complete", "_groups", "_heads", "_limits", "_open_groups", "_partial")

    def __init__(self, conditions: Iterable[Condition], limits: Limits, open_groups: OpenGroups) -> None:
        by_source: dict[tuple[str, str], list[str]] = {}
        for condition in conditions:
            task = condition_task(condition)
            source = ("condition", condition.id) if task is None else ("task", task)
            by_source.setdefault(source, []).append(condition.id)
        self._heads = tuple(group[0] for group in by_source.values())
        self._groups = {name: frozenset(group) for (_, name), group in by_source.items() if len(group) > 1}
        self._limits = limits
        self._open_groups = open_groups
        self._complete: dict[str, Store] = {}
        self._partial: dict[str, dict[str, Store]] = {}

    @property
    def grouped_tasks(self) -> Iterable[str]:
        """The tasks with a group of several conditions."""
        return self._groups.keys()

    def add(self, position: Position, entry: AnyEntry, condition_ids: Sequence[str]) -> bool:
        """Adds an entry that meets some conditions, all at once; True when every source has a contribution now."""
        size = len(encode_entry(entry))
        group = self._groups.get(entry.task_id) if self._groups and isinstance(entry, InvocationEntry) else None
        if group is None:
            for condition_id in condition_ids:
                self._store(condition_id).add(position, entry, size, self._limits)
        elif not self._add_to_group(position, cast(InvocationEntry, entry), condition_ids, size, group):
            return False
        return all(head in self._complete for head in self._heads)

    def _add_to_group(
        self, position: Position, entry: InvocationEntry, condition_ids: Sequence[str], size: int, group: frozenset[str]
    ) -> bool:
        """True when the entry has completed its invocation's group."""
        stores = self._partial.setdefault(entry.invocation_id, {})
        self._open_groups.setdefault(entry.invocation_id, {})[self] = None
        for condition_id in condition_ids:
            stores.setdefault(condition_id, Store()).add(position, cast(AnyEntry, entry), size, self._limits)
        if stores.keys() != group:
            return False
        self.drop_group(entry.invocation_id)
        for condition_id, store in stores.items():
            self._store(condition_id).extend(store, self._limits)
        return True

    def take(self, conditions: dict[str, Condition]) -> tuple[list[Contribution], int]:
        """Every contribution, oldest first, else in the order of `conditions`, and how many were dropped; empties."""
        found = [
            (condition, position, entry)
            for condition_id, condition in conditions.items()
            for position, entry in self._complete[condition_id].entries()
        ]
        found.sort(key=lambda contribution: contribution[1])
        dropped = sum(store.dropped for store in self._complete.values())
        self._complete = {}
        return found, dropped

    def fired(self, cause: AnyEntry) -> None:
        """Empties the join as the run that this entry completed did."""
        self._complete = {}
        if isinstance(cause, InvocationEntry) and cause.invocation_id in self._partial:
            self.drop_group(cause.invocation_id)

    def drop_group(self, invocation_id: str) -> None:
        """Forgets what an invocation has met of its group."""
        del self._partial[invocation_id]
        holders = self._open_groups[invocation_id]
        del holders[self]
        if not holders:
            del self._open_groups[invocation_id]

    def clear(self) -> None:
        """Forgets everything."""
        self._complete = {}
        for invocation_id in list(self._partial):
            self.drop_group(invocation_id)

    def waiting(self, condition_ids: Iterable[str]) -> tuple[ConditionWaiting, ...]:
        """What there is for each condition."""
        empty = Store()
        return tuple(
            ConditionWaiting(
                condition_id,
                len(self._complete.get(condition_id, empty)),
                sum(len(stores.get(condition_id, empty)) for stores in self._partial.values()),
                self._complete.get(condition_id, empty).dropped,
            )
            for condition_id in condition_ids
        )

    def held(self) -> Iterable[tuple[Position, AnyEntry]]:
        """Every entry that it holds, some more than once."""
        for stores in (self._complete, *self._partial.values()):
            for store in stores.values():
                yield from store.entries()

    def state(self, trigger_id: str) -> JoinState | None:
        """What it holds as data; None when it is empty."""
        if not self._complete and not self._partial:
            return None
        return JoinState(
            trigger_id, _states(self._complete), {key: _states(stores) for key, stores in self._partial.items()}
        )

    def load(self, state: JoinState, entries: dict[Position, tuple[AnyEntry, int]]) -> None:
        """Takes the place of a join whose state this is. `entries`: each with its size in bytes, by position."""
        self._complete = self._stores(state.complete, entries)
        for invocation_id, stores in state.partial.items():
            self._partial[invocation_id] = self._stores(stores, entries)
            self._open_groups.setdefault(invocation_id, {})[self] = None

    def _stores(self, states: Iterable[StoreState], entries: dict[Position, tuple[AnyEntry, int]]) -> dict[str, Store]:
        stores: dict[str, Store] = {}
        for state in states:
            store = stores[state.condition_id] = Store()
            for position in state.positions:
                store.add(position, *entries[position], self._limits)
            store.dropped += state.dropped
        return stores

    def _store(self, condition_id: str) -> Store:
        store = self._complete.get(condition_id)
        if store is None:
            store = self._complete[condition_id] = Store()
        return store


def _states(stores: dict[str, Store]) -> tuple[StoreState, ...]:
    return tuple(store.state(condition_id) for condition_id, store in sorted(stores.items()))
