"""The index: finds the conditions that an entry may meet, at a cost that does not depend on the number of conditions.

Conditions are stored under what they watch: an event code, a task and status, or a tick. Below that, a condition with
equality filters is stored under ONE of its equalities, the one that the fewest other conditions use. So the values of
an entry lead directly to the few conditions that can match.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, cast

from trigger_engine._engine.decision import FailedFilter
from trigger_engine._engine.filters import (
    MAPPING,
    MISSING,
    UNREADABLE,
    Frozen,
    Requirement,
    Subject,
    decode,
    filters_by_subject,
    freeze,
    lookup,
    meets,
    requirements,
)
from trigger_engine._engine.lifecycle import InvocationStatus
from trigger_engine._model.definitions import (
    AnyResultCondition,
    CallableFilter,
    Condition,
    CronCondition,
    EventCondition,
    ExceptionCondition,
    Filter,
    StatusCondition,
)
from trigger_engine._model.entries import AnyEntry, CronTicked, EventEmitted, Failed, InvocationEntry

EVENT: Final = "event"
TICK: Final = "tick"
_ANY: Final[frozenset[str]] = frozenset()
_SUCCESS: Final = InvocationStatus.SUCCESS.value
_FAILED: Final = InvocationStatus.FAILED.value
_Place = tuple[Subject, Requirement]
"""The equality under which a candidate is stored."""


class Candidate:
    """A condition in the index, shared by all triggers that have it.

    `checks`: its equalities, each with its subject. `exceptions`: names, one of which the exception or a base class
    must have; empty for any. `residual`: True if the place in the index does not cover all of these. `callables`:
    called when everything else is met. `users`: ids of the active triggers that wait for the condition.
    """

    __slots__ = ("callables", "checks", "condition", "exceptions", "id", "places", "residual", "users")

    def __init__(self, condition: Condition) -> None:
        self.id = condition.id
        self.condition = condition
        self.users: dict[str, None] = {}
        self.places: tuple[_Place | None, ...] = ()
        self.exceptions = frozenset(condition.exception_types) if type(condition) is ExceptionCondition else _ANY
        filters = filters_by_subject(condition)
        self.checks = tuple([(subject, required) for subject, filter_ in filters for required in requirements(filter_)])
        covered = not self.checks or (len(self.checks) == 1 and self.checks[0][1][1] is not MAPPING)
        self.residual = bool(self.exceptions) or not covered
        self.callables = _callables(filters)

    def adopt(self, condition: Condition) -> None:
        """Applies a newer declaration of the same condition: the code of its callables may have changed."""
        self.callables = _callables(filters_by_subject(condition))

    def passes(self, entry: Any, values: dict[Subject, Any]) -> bool:
        """True if an entry meets the condition, callables aside. Raises one of UNREADABLE."""
        if self.exceptions and type(entry) is Failed:
            raised = entry.exception
            if raised.type not in self.exceptions and self.exceptions.isdisjoint(raised.bases):
                return False
        for subject, required in self.checks:
            if subject not in values:
                values[subject] = decode(getattr(entry, subject))
            if not meets(values[subject], required):
                return False
        return True


class _Tree:
    """Candidates by path and frozen value. `buckets`: by the value at this path; `children`: by the next key."""

    __slots__ = ("buckets", "children")

    def __init__(self) -> None:
        self.buckets: dict[Frozen, tuple[Candidate, ...]] = {}
        self.children: dict[Frozen, _Tree] = {}

    def cost(self, place: Requirement) -> tuple[int, bool]:
        """The cost of a place: the number of candidates there, then whether its path is new. Lower is better."""
        path, expected = place
        tree = self
        for key in path:
            below = tree.children.get(key)
            if below is None:
                return 0, True
            tree = below
        return len(tree.buckets.get(expected, ())), False

    def add(self, place: Requirement, candidate: Candidate) -> None:
        path, expected = place
        tree = self
        for key in path:
            below = tree.children.get(key)
            if below is None:
                below = tree.children[key] = _Tree()
            tree = below
        tree.buckets[expected] = (*tree.buckets.get(expected, ()), candidate)

    def remove(self, place: Requirement, candidate: Candidate, depth: int = 0) -> None:
        path, expected = place
        if depth == len(path):
            others = tuple([other for other in self.buckets.pop(expected) if other is not candidate])
            if others:
                self.buckets[expected] = others
            return
        below = self.children[path[depth]]
        below.remove(place, candidate, depth + 1)
        if below.is_empty():
            del self.children[path[depth]]

    def is_empty(self) -> bool:
        return not self.buckets and not self.children

    def find(self, value: Any, found: list[Candidate]) -> None:
        """Adds to `found` all candidates whose place the value matches. Iterates the smaller of value and tree."""
        if self.buckets:
            bucket = self.buckets.get(freeze(value))
            if bucket is not None:
                found += bucket
        children = self.children
        if not children or type(value) is not dict:
            return
        if len(children) <= len(value):
            for key, below in children.items():
                item = lookup(value, key)
                if item is not MISSING:
                    below.find(item, found)
            return
        for key, item in value.items():
            tree = children.get(freeze(key))
            if tree is not None:
                tree.find(item, found)

    def any_candidate(self) -> Candidate:
        """Any candidate of this tree, which must not be empty."""
        for bucket in self.buckets.values():
            return bucket[0]
        return next(iter(self.children.values())).any_candidate()


class _Node:
    """The conditions that watch one source.

    `trees`: conditions that are found by value, by subject. `plain`: conditions without an equality, by id. `residual`:
    number of candidates that need a further check.
    """

    __slots__ = ("plain", "residual", "trees")

    def __init__(self) -> None:
        self.plain: dict[str, Candidate] = {}
        self.trees: dict[Subject, _Tree] = {}
        self.residual = 0

    def add(self, candidate: Candidate) -> _Place | None:
        """Stores a candidate at its cheapest place and returns that place; None if it has no equality."""
        self.residual += candidate.residual
        best: _Place | None = None
        lowest = (0, False)
        for place in candidate.checks:
            subject, required = place
            if required[1] is not MAPPING:
                tree = self.trees.get(subject)
                cost = tree.cost(required) if tree else (0, True)
                if best is None or cost < lowest:
                    best, lowest = place, cost
        if best is None:
            self.plain[candidate.id] = candidate
            return None
        tree = self.trees.get(best[0])
        if tree is None:
            tree = self.trees[best[0]] = _Tree()
        tree.add(best[1], candidate)
        return best

    def remove(self, candidate: Candidate, place: _Place | None) -> None:
        self.residual -= candidate.residual
        if place is None:
            del self.plain[candidate.id]
            return
        subject, required = place
        self.trees[subject].remove(required, candidate)
        if self.trees[subject].is_empty():
            del self.trees[subject]

    def is_empty(self) -> bool:
        return not self.plain and not self.trees

    def match(self, entry: Any, failures: list[FailedFilter]) -> list[Candidate]:
        """The candidates that the entry meets, callables aside."""
        found = list(self.plain.values())
        if not self.trees and not self.residual:
            return found
        values: dict[Subject, Any] = {}
        for subject, tree in self.trees.items():
            try:
                values[subject] = value = decode(getattr(entry, subject))
                tree.find(value, found)
            except UNREADABLE as exc:
                failures.append(_unreadable(tree.any_candidate(), entry, exc))
        if not self.residual:
            return found
        return [
            candidate
            for candidate in found
            if not candidate.residual or self._passes(candidate, entry, values, failures)
        ]

    @staticmethod
    def _passes(candidate: Candidate, entry: Any, values: dict[Subject, Any], failures: list[FailedFilter]) -> bool:
        try:
            return candidate.passes(entry, values)
        except UNREADABLE as exc:
            failures.append(_unreadable(candidate, entry, exc))
            return False


class Index:
    """All conditions that active triggers wait for. `tables`: by `EVENT`, `TICK` or status, then by source."""

    def __init__(self) -> None:
        statuses = [status.value for status in InvocationStatus]
        self.tables: dict[str, dict[str, _Node]] = {table: {} for table in (EVENT, TICK, *statuses)}
        self._events = self.tables[EVENT]
        self._candidates: dict[str, Candidate] = {}

    def add(self, trigger_id: str, condition: Condition) -> None:
        """Registers a trigger that waits for a condition. A condition whose filter cannot be decoded is never met."""
        candidate = self._candidates.get(condition.id)
        if candidate is not None:
            candidate.adopt(condition)
        else:
            try:
                candidate = Candidate(condition)
            except UNREADABLE:
                return
            self._candidates[condition.id] = candidate
            places = [self._node(table, source).add(candidate) for table, source in _sources(condition)]
            candidate.places = tuple(places)
        candidate.users[trigger_id] = None

    def remove(self, trigger_id: str, condition_id: str) -> None:
        """Undoes `add`. A condition that no trigger waits for is removed completely."""
        candidate = self._candidates.get(condition_id)
        if candidate is None:
            return
        candidate.users.pop(trigger_id, None)
        if candidate.users:
            return
        del self._candidates[condition_id]
        for (table, source), place in zip(_sources(candidate.condition), candidate.places, strict=True):
            node = self.tables[table][source]
            node.remove(candidate, place)
            if node.is_empty():
                del self.tables[table][source]

    def _node(self, table: str, source: str) -> _Node:
        nodes = self.tables.setdefault(table, {})
        node = nodes.get(source)
        if node is None:
            node = nodes[source] = _Node()
        return node

    def match(self, entry: AnyEntry, statuses: tuple[str, ...], failures: list[FailedFilter]) -> Sequence[Candidate]:
        """The candidates that the entry meets, callables aside, each once.

        `statuses`: what an entry of an invocation stands for. Values that cannot be decoded are added to `failures`.
        """
        if type(entry) is EventEmitted:
            node = self._events.get(entry.event_code)
        elif type(entry) is CronTicked:
            node = self.tables[TICK].get(entry.condition_id)
        else:
            task_id = cast(InvocationEntry, entry).task_id
            if len(statuses) > 1:
                nodes = [found for status in statuses if (found := self.tables[status].get(task_id))]
                return list({match.id: match for found in nodes for match in found.match(entry, failures)}.values())
            node = self.tables[statuses[0]].get(task_id)
        return () if node is None else node.match(entry, failures)


def _sources(condition: Condition) -> list[tuple[str, str]]:
    """Table and source of everything that may meet a condition."""
    if isinstance(condition, EventCondition):
        return [(EVENT, condition.event_code)]
    if isinstance(condition, CronCondition):
        return [(TICK, condition.id)]
    if isinstance(condition, StatusCondition):
        return [(status, condition.task_id) for status in dict.fromkeys(condition.statuses)]
    if isinstance(condition, ExceptionCondition):
        return [(_FAILED, condition.task_id)]
    if isinstance(condition, AnyResultCondition):
        return [(_SUCCESS, condition.task_id), (_FAILED, condition.task_id)]
    return [(_SUCCESS, condition.task_id)]


def _unreadable(candidate: Candidate, entry: AnyEntry, exc: Exception) -> FailedFilter:
    return FailedFilter(candidate.id, entry.id, "equality", f"the value of the entry cannot be decoded: {exc}")


def _callables(filters: list[tuple[Subject, Filter]]) -> tuple[tuple[CallableFilter, Subject], ...]:
    return tuple([(filter_, subject) for subject, filter_ in filters if type(filter_) is CallableFilter])
