"""The triggers in force, compiled: declarations, machines and index, changed together."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from trigger_engine.core.declarations import DeclarationEntry, Declarations, TriggerInForce
from trigger_engine.core.index import Index
from trigger_engine.core.joins import JoinState, OpenGroups
from trigger_engine.core.judgement import Limits
from trigger_engine.core.machine import Machine
from trigger_engine.entries.facts import AnyEntry, Position


class Triggers:
    """Every trigger in force with what it has collected."""

    def __init__(
        self,
        limits: Limits,
        in_force: Iterable[TriggerInForce] = (),
        cron_since: Mapping[str, float] | None = None,
    ) -> None:
        self.declarations = Declarations(in_force, cron_since)
        self.index = Index()
        self.machines: dict[str, Machine] = {}
        self._limits = limits
        self._open_groups: OpenGroups = {}
        self._grouped_tasks: dict[str, int] = {}
        for trigger_id in {content.trigger.id: None for content in self.declarations.slots.values()}:
            self._compile(trigger_id)

    def apply(self, position: Position, entry: DeclarationEntry) -> None:
        """Folds a valid entry that changes the triggers in force."""
        for trigger_id in self.declarations.apply(position, entry):
            self._compile(trigger_id)

    def concerns(self, task_id: str, statuses: Sequence[str]) -> bool:
        """Whether an entry of this task's invocation could change anything: it may meet a condition or end a group."""
        if task_id in self._grouped_tasks:
            return True
        tables = self.index.tables
        for status in statuses:  # noqa: SIM110 (asked for every status: a generator would cost more than the look)
            if task_id in tables[status]:
                return True
        return False

    def end(self, invocation_id: str) -> None:
        """Drops what an ended invocation leaves incomplete."""
        for join in list(self._open_groups.get(invocation_id, ())):
            join.drop_group(invocation_id)

    def replay(
        self, position: Position, entry: AnyEntry, kept: Mapping[str, Sequence[str]], fired: Iterable[str]
    ) -> None:
        """Does what was recorded of an entry: conditions kept, by trigger id, and the triggers that it completed."""
        for trigger_id, condition_ids in kept.items():
            machine = self.machines.get(trigger_id)
            if machine is not None and machine.join is not None and (known := machine.in_order(condition_ids)):
                machine.join.add(position, entry, known)
        for trigger_id in fired:
            machine = self.machines.get(trigger_id)
            if machine is not None and machine.join is not None:
                machine.join.fired(entry)

    def held(self) -> dict[Position, AnyEntry]:
        """Every entry that some join holds."""
        return {
            position: entry
            for machine in self.machines.values()
            if machine.join is not None
            for position, entry in machine.join.held()
        }

    def joins(self) -> list[JoinState]:
        """What the joins hold, as data."""
        machines = sorted(self.machines.items())
        found = [machine.join.state(trigger_id) for trigger_id, machine in machines if machine.join is not None]
        return [state for state in found if state is not None]

    def load(self, joins: Iterable[JoinState], entries: dict[Position, tuple[AnyEntry, int]]) -> None:
        """Gives the joins what they held. `entries`: each with its size in bytes, by position."""
        for state in joins:
            machine = self.machines.get(state.trigger_id)
            if machine is not None and machine.join is not None:
                machine.join.load(state, entries)

    def _compile(self, trigger_id: str) -> None:
        machine = self.machines.get(trigger_id)
        contents = self.declarations.of(trigger_id)
        if machine is not None:
            for condition_id in machine.conditions:
                self.index.remove(trigger_id, condition_id)
        if machine is None:
            if not contents:
                return
            machine = self.machines[trigger_id] = Machine(contents, self._limits, self._open_groups)
            self._count_groups(machine, 1)
        elif not contents:
            del self.machines[trigger_id]
            self._count_groups(machine, -1)
            return
        else:
            machine.adopt(contents)
        if machine.active:
            for condition in machine.conditions.values():
                self.index.add(trigger_id, condition)

    def _count_groups(self, machine: Machine, change: int) -> None:
        if machine.join is None:
            return
        if change < 0:
            machine.join.clear()
        for task in machine.join.grouped_tasks:
            count = self._grouped_tasks.pop(task, 0) + change
            if count:
                self._grouped_tasks[task] = count
