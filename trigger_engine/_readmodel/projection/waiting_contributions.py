"""The contributions that AND triggers keep until all conditions are met, as recorded by leaders."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from trigger_engine._model.definitions import TriggerDefinition, condition_task
from trigger_engine._readmodel.store.rows import KeptRow

Triggers = Mapping[str, TriggerDefinition]
Key = tuple[str, str]
"""Condition id, entry id."""


class WaitingContributions:
    """Waiting contributions by trigger, in order of arrival.

    Several conditions on one task form a group that one invocation must meet. Until then its contributions are
    partial; they are dropped once the end of the invocation is evaluated. `max_contributions`: the limit per condition.
    """

    def __init__(self, max_contributions: int) -> None:
        self.parts: dict[str, dict[Key, KeptRow]] = {}
        self._max_contributions = max_contributions
        self._complete: dict[tuple[str, str], dict[str, KeptRow]] = {}
        self._partial: dict[str, dict[str, list[KeptRow]]] = {}
        self._ends: dict[str, int] = {}

    def add(self, rows: Sequence[KeptRow], triggers: Triggers) -> list[KeptRow]:
        """Adds an entry's contributions to a trigger. Returns all changed rows: new, dropped, or no longer partial."""
        partial: list[KeptRow] = []
        changed = list(rows)
        for row in rows:
            self.parts.setdefault(row.trigger_id, {})[(row.condition_id, row.entry_id)] = row
            if row.settled_at is None and row.invocation_id is not None and len(_group(row, triggers)) > 1:
                partial = self._partial.setdefault(row.invocation_id, {}).setdefault(row.trigger_id, [])
                partial.append(row)
            else:
                changed += self._settle(row, row.settled_at or row.position)
        if not partial:
            return changed
        newest = partial[-1]
        if _group(newest, triggers) > {one.condition_id for one in partial}:
            return changed + [one for row in rows for one in self._limit_partial(partial, row.condition_id)]
        self._forget_partial(str(newest.invocation_id), newest.trigger_id)
        return [*changed, *partial, *(one for row in partial for one in self._settle(row, newest.position))]

    def is_awaited(self, invocation_id: str) -> bool:
        """Returns whether the end of an invocation can complete or drop partial contributions."""
        return invocation_id in self._partial

    def end(self, invocation_id: str, position: int) -> None:
        """Records the position at which an awaited invocation ended."""
        self._ends[invocation_id] = position

    def evaluate(self, upto: int) -> Iterator[KeptRow]:
        """Drops and yields the partial contributions of invocations whose end is evaluated."""
        for invocation_id in [one for one, ended_at in self._ends.items() if ended_at <= upto]:
            for trigger_id in list(self._partial.get(invocation_id, ())):
                yield from self._drop_partial(invocation_id, trigger_id)
            self._ends.pop(invocation_id, None)

    def fire(self, trigger_id: str, entry_ids: frozenset[str], by: str | None) -> tuple[list[KeptRow], list[KeptRow]]:
        """Empties a trigger. Returns the contributions that took part in the run, and those that are dropped.

        `by`: the invocation whose entry fired it. Partial contributions of other invocations stay.
        """
        part = self.parts.get(trigger_id, {})
        fired = [row for row in part.values() if row.entry_id in entry_ids]
        dropped = [row for row in part.values() if row.entry_id not in entry_ids and row.settled_at is not None]
        for row in fired + dropped:
            self._remove(row)
        if by is not None and trigger_id in self._partial.get(by, ()):
            dropped += self._drop_partial(by, trigger_id)
        return fired, dropped

    def drop_emptied(self, trigger_id: str, emptied_at: int, by: str | None) -> list[KeptRow]:
        """Drops what was complete, or partial of `by`, when the trigger was emptied but was recorded only later."""
        part = self.parts.get(trigger_id, {})
        rows = [row for row in part.values() if _was_there(row, emptied_at, by)]
        for row in rows:
            self._remove(row)
        return rows

    def drop_before(self, trigger_id: str, position: int) -> list[KeptRow]:
        """Drops what a trigger kept before the position at which it became active."""
        rows = [row for row in self.parts.get(trigger_id, {}).values() if row.position < position]
        for row in rows:
            self._remove(row)
        return rows

    def drop(self, trigger_id: str) -> list[KeptRow]:
        """Drops everything a trigger keeps, because it is no longer active."""
        rows = list(self.parts.get(trigger_id, {}).values())
        for row in rows:
            self._remove(row)
        return rows

    def _settle(self, row: KeptRow, position: int) -> list[KeptRow]:
        row.settled_at = position
        complete = self._complete.setdefault((row.trigger_id, row.condition_id), {})
        complete[row.entry_id] = row
        if len(complete) <= self._max_contributions:
            return []
        oldest = next(iter(complete.values()))
        self._remove(oldest)
        oldest.waiting = False
        return [oldest]

    def _limit_partial(self, partial: list[KeptRow], condition_id: str) -> list[KeptRow]:
        rows = [row for row in partial if row.condition_id == condition_id]
        if len(rows) <= self._max_contributions:
            return []
        self._remove(rows[0])
        rows[0].waiting = False
        return rows[:1]

    def _remove(self, row: KeptRow) -> None:
        part = self.parts[row.trigger_id]
        del part[(row.condition_id, row.entry_id)]
        if not part:
            del self.parts[row.trigger_id]
        if row.settled_at is not None:
            complete = self._complete[(row.trigger_id, row.condition_id)]
            del complete[row.entry_id]
            if not complete:
                del self._complete[(row.trigger_id, row.condition_id)]
        elif row.invocation_id is not None:
            partial = self._partial[row.invocation_id][row.trigger_id]
            partial.remove(row)
            if not partial:
                self._forget_partial(row.invocation_id, row.trigger_id)

    def _drop_partial(self, invocation_id: str, trigger_id: str) -> list[KeptRow]:
        rows = list(self._partial[invocation_id][trigger_id])
        for row in rows:
            self._remove(row)
        return rows

    def _forget_partial(self, invocation_id: str, trigger_id: str) -> None:
        groups = self._partial.get(invocation_id, {})
        groups.pop(trigger_id, None)
        if not groups:
            self._partial.pop(invocation_id, None)
            self._ends.pop(invocation_id, None)


def _was_there(row: KeptRow, emptied_at: int, by: str | None) -> bool:
    if row.settled_at is not None:
        return row.settled_at <= emptied_at
    return row.position <= emptied_at and row.invocation_id == by


def _group(row: KeptRow, triggers: Triggers) -> set[str]:
    """Returns the conditions of the row's trigger on the same task; empty if its condition watches no task."""
    trigger = triggers.get(row.trigger_id)
    conditions = () if trigger is None else trigger.conditions
    task = next((condition_task(condition) for condition in conditions if condition.id == row.condition_id), None)
    return set() if task is None else {condition.id for condition in conditions if condition_task(condition) == task}
