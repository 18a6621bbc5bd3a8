"""The active triggers, compiled: declarations, trigger states and index, which change together."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from trigger_engine._engine.active_declarations import ActiveDeclarations, ActiveTrigger, DeclarationEntry
from trigger_engine._engine.decision import Limits
from trigger_engine._engine.index import Index
from trigger_engine._engine.joins import JoinState, OpenGroups
from trigger_engine._engine.trigger_state import TriggerState
from trigger_engine._model.entries import AnyEntry, Position


class CompiledTriggers:
    """All active triggers. `states`: by trigger id."""

    def __init__(
        self,
        limits: Limits,
        active_triggers: Iterable[ActiveTrigger] = (),
        cron_since: Mapping[str, float] | None = None,
    ) -> None:
        self.declarations = ActiveDeclarations(active_triggers, cron_since)
        self.index = Index()
        self.states: dict[str, TriggerState] = {}
        self._limits = limits
        self._open_groups: OpenGroups = {}
        self._grouped_tasks: dict[str, int] = {}
        for trigger_id in {content.trigger.id: None for content in self.declarations.slots.values()}:
            self._compile(trigger_id)

    def apply(self, position: Position, entry: DeclarationEntry) -> None:
        """Folds a valid entry that changes the active triggers."""
        for trigger_id in self.declarations.apply(position, entry):
            self._compile(trigger_id)

    def concerns(self, task_id: str, statuses: Sequence[str]) -> bool:
        """True if an entry of an invocation of this task may meet a condition or end a group."""
        if task_id in self._grouped_tasks:
            return True
        tables = self.index.tables
        for status in statuses:  # noqa: SIM110 (runs for every status entry; a generator costs more than the lookup)
            if task_id in tables[status]:
                return True
        return False

    def end(self, invocation_id: str) -> None:
        """Drops the incomplete groups of an invocation that has ended."""
        for join in list(self._open_groups.get(invocation_id, ())):
            join.drop_group(invocation_id)

    def replay(
        self, position: Position, entry: AnyEntry, kept: Mapping[str, Sequence[str]], fired: Iterable[str]
    ) -> None:
        """Applies what was recorded for an entry.

        `kept`: ids of the conditions that it was kept for, by trigger id. `fired`: ids of the triggers it completed.
        """
        for trigger_id, condition_ids in kept.items():
            state = self.states.get(trigger_id)
            if state is not None and state.join is not None and (known := state.in_order(condition_ids)):
                state.join.add(position, entry, known)
        for trigger_id in fired:
            state = self.states.get(trigger_id)
            if state is not None and state.join is not None:
                state.join.fired(entry)

    def held(self) -> dict[Position, AnyEntry]:
        """All entries that joins hold, by position."""
        return {
            position: entry
            for state in self.states.values()
            if state.join is not None
            for position, entry in state.join.held()
        }

    def joins(self) -> list[JoinState]:
        """The contents of the joins that are not empty, as data."""
        joins = [
            state.join.state(trigger_id) for trigger_id, state in sorted(self.states.items()) if state.join is not None
        ]
        return [join for join in joins if join is not None]

    def load(self, joins: Iterable[JoinState], entries: dict[Position, tuple[AnyEntry, int]]) -> None:
        """Restores the contents of the joins. `entries`: each with its size in bytes, by position."""
        for join in joins:
            state = self.states.get(join.trigger_id)
            if state is not None and state.join is not None:
                state.join.load(join, entries)

    def _compile(self, trigger_id: str) -> None:
        state = self.states.get(trigger_id)
        contents = self.declarations.of(trigger_id)
        if state is not None:
            for condition_id in state.conditions:
                self.index.remove(trigger_id, condition_id)
        if state is None:
            if not contents:
                return
            state = self.states[trigger_id] = TriggerState(contents, self._limits, self._open_groups)
            self._count_groups(state, 1)
        elif not contents:
            del self.states[trigger_id]
            self._count_groups(state, -1)
            return
        else:
            state.adopt(contents)
        if state.active:
            for condition in state.conditions.values():
                self.index.add(trigger_id, condition)

    def _count_groups(self, state: TriggerState, change: int) -> None:
        if state.join is None:
            return
        if change < 0:
            state.join.clear()
        for task in state.join.grouped_tasks:
            count = self._grouped_tasks.pop(task, 0) + change
            if count:
                self._grouped_tasks[task] = count
