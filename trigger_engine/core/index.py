"""The index: from an entry to the conditions that it may meet, at a cost that does not depend on how many there are.

Conditions hang at what they watch (event code, task and status, or tick). Below that, each one with equality filters
hangs at ONE of its equalities, that which fewest others share, so that an entry finds by value the few that can match.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, cast

from trigger_engine.core.filters import (
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
from trigger_engine.core.judgement import FailedFilter
from trigger_engine.core.lifecycle import InvocationStatus
from trigger_engine.entries.definitions import (
    AnyResultCondition,
    CallableFilter,
    Condition,
    CronCondition,
    EventCondition,
    ExceptionCondition,
    StatusCondition,
)
from trigger_engine.entries.facts import AnyEntry, CronTicked, EventEmitted, Failed, InvocationEntry

EVENT: Final = "event"
TICK: Final = "tick"
_ANY: Final[frozenset[str]] = frozenset()
_SUCCESS: Final = InvocationStatus.SUCCESS.value
_FAILED: Final = InvocationStatus.FAILED.value
_Place = tuple[Subject, Requirement]
"""The equality at which a candidate hangs."""


class Candidate:
    """A condition in the index, once for all triggers that have it.

    `checks`: its equalities by subject. `exceptions`: names of which the exception or a base must have one, empty for
    any. `residual`: whether its place in the index leaves any of these open. `callables`: what is asked when all else
    holds. `users`: ids of the active triggers that wait for it.
    """

    __slots__ = ("callables", "checks", "condition", "exceptions", "id", "places", "residual", "users")

    def __init__(self, condition: Condition) -> None:
        self.id = condition.id
        self.condition = condition
        self.users: dict[str, None] = {}
        self.places: tuple[_Place | None, ...] = ()
        self.exceptions = frozenset(condition.exception_types) if type(condition) is ExceptionCondition else _ANY
        filters = filters_by_subject(condition)
        self.checks = tuple([(subject, need) for subject, filter_ in filters for need in requirements(filter_)])
        alone = len(self.checks) == 1 and self.checks[0][1][1] is not MAPPING
        self.residual = bool(self.exceptions) or not (alone or not self.checks)
        self.callables = tuple([(asked, subject) for subject, asked in filters if type(asked) is CallableFilter])

    def adopt(self, condition: Condition) -> None:
        """Takes a newer declaration of the same condition: its callables may have other code."""
        filters = filters_by_subject(condition)
        self.callables = tuple([(asked, subject) for subject, asked in filters if type(asked) is CallableFilter])

    def passes(self, entry: Any, values: dict[Subject, Any]) -> bool:
        """Whether an entry meets everything but the callables. Raises one of UNREADABLE."""
        if self.exceptions and type(entry) is Failed:
            raised = entry.exception
            if raised.type not in self.exceptions and self.exceptions.isdisjoint(raised.bases):
                return False
        for subject, need in self.checks:
            if subject not in values:
                values[subject] = decode(getattr(entry, subject))
            if not meets(values[subject], need):
                return False
        return True


class _Tree:
    """Candidates by path and frozen value: `buckets` for values standing here, `children` by the next key."""

    __slots__ = ("buckets", "children")

    def __init__(self) -> None:
        self.buckets: dict[Frozen, tuple[Candidate, ...]] = {}
        self.children: dict[Frozen, _Tree] = {}

    def crowd(self, need: Requirement) -> tuple[int, bool]:
        """How many share this place, then whether its path is new: the less, the better a place."""
        path, expected = need
        tree = self
        for key in path:
            below = tree.children.get(key)
            if below is None:
                return 0, True
            tree = below
        return len(tree.buckets.get(expected, ())), False

    def add(self, need: Requirement, candidate: Candidate) -> None:
        path, expected = need
        tree = self
        for key in path:
            below = tree.children.get(key)
            if below is None:
                below = tree.children[key] = _Tree()
            tree = below
        tree.buckets[expected] = (*tree.buckets.get(expected, ()), candidate)

    def remove(self, need: Requirement, candidate: Candidate, depth: int = 0) -> None:
        path, expected = need
        if depth == len(path):
            others = tuple([one for one in self.buckets.pop(expected) if one is not candidate])
            if others:
                self.buckets[expected] = others
            return
        below = self.children[path[depth]]
        below.remove(need, candidate, depth + 1)
        if below.is_empty():
            del self.children[path[depth]]

    def is_empty(self) -> bool:
        return not self.buckets and not self.children

    def find(self, value: Any, found: list[Candidate]) -> None:
        """Adds every candidate whose place this value fits. Walks the smaller of the value and the tree."""
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

    def one(self) -> Candidate:
        """Some candidate of this tree, which is not empty."""
        for bucket in self.buckets.values():
            return bucket[0]
        return next(iter(self.children.values())).one()


class _Node:
    """The conditions that watch one thing: those found by value in `trees`, those that only a look at each can tell."""

    __slots__ = ("plain", "residual", "trees")

    def __init__(self) -> None:
        self.plain: dict[str, Candidate] = {}
        self.trees: dict[Subject, _Tree] = {}
        self.residual = 0

    def add(self, candidate: Candidate) -> _Place | None:
        """Puts a candidate where fewest others are, and says where; None: with those that have no equality."""
        self.residual += candidate.residual
        best: _Place | None = None
        least = (0, False)
        for place in candidate.checks:
            subject, need = place
            if need[1] is not MAPPING:
                tree = self.trees.get(subject)
                crowd = tree.crowd(need) if tree else (0, True)
                if best is None or crowd < least:
                    best, least = place, crowd
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
        subject, need = place
        self.trees[subject].remove(need, candidate)
        if self.trees[subject].is_empty():
            del self.trees[subject]

    def is_empty(self) -> bool:
        return not self.plain and not self.trees

    def match(self, entry: Any, failures: list[FailedFilter]) -> list[Candidate]:
        """Every candidate that the entry meets, but for callables."""
        found = list(self.plain.values())
        if not self.trees and not self.residual:
            return found
        values: dict[Subject, Any] = {}
        for subject, tree in self.trees.items():
            try:
                values[subject] = value = decode(getattr(entry, subject))
                tree.find(value, found)
            except UNREADABLE as exc:
                failures.append(_unreadable(tree.one(), entry, exc))
        if not self.residual:
            return found
        return [one for one in found if not one.residual or self._passes(one, entry, values, failures)]

    @staticmethod
    def _passes(candidate: Candidate, entry: Any, values: dict[Subject, Any], failures: list[FailedFilter]) -> bool:
        try:
            return candidate.passes(entry, values)
        except UNREADABLE as exc:
            failures.append(_unreadable(candidate, entry, exc))
            return False


class Index:
    """Every condition that an active trigger waits for. `tables`: by `EVENT`, `TICK` or status, then by source."""

    def __init__(self) -> None:
        statuses = [status.value for status in InvocationStatus]
        self.tables: dict[str, dict[str, _Node]] = {table: {} for table in (EVENT, TICK, *statuses)}
        self._events = self.tables[EVENT]
        self._candidates: dict[str, Candidate] = {}

    def add(self, trigger_id: str, condition: Condition) -> None:
        """Has a trigger wait for a condition. One whose filter cannot be read is never met."""
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
        """Undoes `add`; what no trigger waits for leaves nothing behind."""
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
        """Every candidate that the entry meets, but for callables; each once.

        `statuses`: those that an invocation's entry stands for. `failures` gets what could not be read.
        """
        if type(entry) is EventEmitted:
            node = self._events.get(entry.event_code)
        elif type(entry) is CronTicked:
            node = self.tables[TICK].get(entry.condition_id)
        else:
            task_id = cast(InvocationEntry, entry).task_id
            if len(statuses) > 1:
                nodes = [found for status in statuses if (found := self.tables[status].get(task_id))]
                return list({one.id: one for found in nodes for one in found.match(entry, failures)}.values())
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
    return FailedFilter(candidate.id, entry.id, "equality", f"the entry's value cannot be read: {exc}")
