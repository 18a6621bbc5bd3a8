"""The contributions that an AND trigger must have collected: all since it last fired, within the limits."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import NamedTuple

import msgspec

from trigger_engine._model.definitions import Condition, condition_task
from trigger_engine._model.entries import AnyEntry, InvocationEntry, Position


class AuditLimits(msgspec.Struct, frozen=True, kw_only=True):
    """The limits that leaders of the app enforce; see the settings of the same names."""

    max_chain_length: int = 100
    max_contributions: int = 1_000
    max_contribution_bytes: int = 4 * 1024 * 1024


class Contribution(NamedTuple):
    """An entry that met a condition. `size`: its encoded size in bytes."""

    position: Position
    condition_id: str
    entry_id: str
    depth: int
    size: int


class _Buffer:
    """The newest contributions to one condition, at least one. `dropped`: how many the limits discarded."""

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


class JoinState:
    """The state of one AND trigger between two runs."""

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
        self._buffers: dict[str, _Buffer] = {}
        self._open: dict[str, dict[str, _Buffer]] = {}

    def add(self, entry: AnyEntry, met: list[Contribution]) -> tuple[list[Contribution], int] | None:
        """Adds the contributions of one entry.

        Returns all contributions and the number of dropped ones if the entry completes the join, else None.
        """
        group = self.groups.get(entry.task_id) if isinstance(entry, InvocationEntry) else None
        if group is None:
            for one in met:
                self._buffer(one.condition_id).add(one, self._limits)
        else:
            assert isinstance(entry, InvocationEntry)
            part = self._open.setdefault(entry.invocation_id, {})
            for one in met:
                part.setdefault(one.condition_id, _Buffer()).add(one, self._limits)
            if part.keys() != group:
                return None
            del self._open[entry.invocation_id]
            self._merge(part)
        return self._take() if self._buffers.keys() == self._order.keys() else None

    def empty(self, cause: AnyEntry) -> None:
        """Clears everything collected, as after a run caused by this entry."""
        self._buffers = {}
        if isinstance(cause, InvocationEntry):
            self._open.pop(cause.invocation_id, None)

    def end(self, invocation_id: str) -> None:
        """Drops the incomplete contributions of an ended invocation."""
        self._open.pop(invocation_id, None)

    def _merge(self, part: dict[str, _Buffer]) -> None:
        for condition_id, newer in part.items():
            buffer = self._buffer(condition_id)
            buffer.dropped += newer.dropped
            for one in newer.items:
                buffer.add(one, self._limits)

    def _take(self) -> tuple[list[Contribution], int]:
        buffers, self._buffers = self._buffers, {}
        found = [one for buffer in buffers.values() for one in buffer.items]
        found.sort(key=lambda one: (one.position, self._order[one.condition_id]))
        return found, sum(buffer.dropped for buffer in buffers.values())

    def _buffer(self, condition_id: str) -> _Buffer:
        return self._buffers.setdefault(condition_id, _Buffer())
