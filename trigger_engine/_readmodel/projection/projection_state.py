"""The state carried from entry to entry: triggers, waiting contributions, and progress."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from trigger_engine._engine.active_declarations import ActiveDeclarations, ActiveTrigger, DeclarationEntry
from trigger_engine._engine.lifecycle import InvocationStatus
from trigger_engine._model.definitions import EventCondition, TriggerDefinition
from trigger_engine._model.entries import Position, TriggerRetired
from trigger_engine._readmodel.projection.unit_of_work import Lookup
from trigger_engine._readmodel.projection.waiting_contributions import WaitingContributions
from trigger_engine._readmodel.records import TriggerState
from trigger_engine._readmodel.store.rows import ElectedRow, KeptRow, Progress, TriggerRow, microseconds

ACTIVE: TriggerState = "active"
SUSPENDED: TriggerState = "suspended"
RETIRED: TriggerState = "retired"
REPLACED: TriggerState = "replaced"

_encode = msgspec.msgpack.Encoder().encode
decode_definition = msgspec.msgpack.Decoder(TriggerDefinition).decode
_decode_declarations = msgspec.msgpack.Decoder(list[ActiveTrigger]).decode
_decode_emptied = msgspec.msgpack.Decoder(dict[str, list[tuple[int, str | None]]]).decode


class ProjectionState:
    """The part of the read model that is kept in memory between batches.

    Pending writes: `changed_triggers`, ids of changed triggers; `listening`, tuples of a trigger id, a position and
    whether the trigger starts (True) or stops (False) listening there.
    """

    def __init__(self, progress: Progress, max_contributions: int) -> None:
        self.progress = progress
        self.elected: dict[str, ElectedRow] = {}
        self.triggers: dict[str, TriggerRow] = {}
        self.definitions: dict[str, TriggerDefinition] = {}
        self.declarations = ActiveDeclarations(
            _decode_declarations(progress.declarations) if progress.declarations else ()
        )
        self.waiting = WaitingContributions(max_contributions)
        self.emptied: dict[str, list[tuple[Position, str | None]]] = (
            _decode_emptied(progress.emptied) if progress.emptied else {}
        )
        self.changed_triggers: set[str] = set()
        self.listening: list[tuple[str, Position, bool]] = []

    def load_trigger(self, row: TriggerRow) -> None:
        """Loads a stored trigger."""
        self.triggers[row.trigger_id] = row
        self.definitions[row.trigger_id] = decode_definition(row.definition)

    def restore_kept(self, row: KeptRow, lookup: Lookup) -> None:
        """Loads a stored waiting contribution. Its trigger must be loaded first."""
        self.waiting.add([row], self.definitions)
        if row.invocation_id is None or not self.waiting.is_awaited(row.invocation_id):
            return
        invocation = lookup.invocation(row.invocation_id)
        if invocation is not None and InvocationStatus(invocation.status).is_final:
            self.waiting.end(row.invocation_id, invocation.changed_at)

    def is_current(self, term: Position) -> bool:
        """Returns whether a term is current, so that its leader may write."""
        if self.elected:
            return any(row.position == term for row in self.elected.values())
        progress = self.progress
        if progress.gap_at == 0 or term < progress.highest_term:
            return False
        progress.highest_term = term
        return True

    def elect(self, row: ElectedRow) -> None:
        """Starts a term."""
        self.elected[row.name] = row

    def declare(self, position: Position, entry: DeclarationEntry, effective: Position) -> list[KeptRow]:
        """Applies a change of declarations from position `effective` on. Returns the contributions it drops."""
        dropped: list[KeptRow] = []
        final_state = RETIRED if isinstance(entry, TriggerRetired) else REPLACED
        time = microseconds(entry.time)
        for trigger_id in self.declarations.apply(effective, entry):
            active = self.declarations.of(trigger_id)
            if active:
                self._put(trigger_id, active, position, time)
            elif trigger_id in self.triggers:
                self._set_state(self.triggers[trigger_id], final_state, position, time)
                dropped += self.waiting.drop(trigger_id)
        self._save_declarations()
        return dropped

    def restore_triggers(self, active: list[ActiveTrigger], position: Position) -> None:
        """Restores the active triggers from a checkpoint: their declarations were trimmed."""
        self.declarations = ActiveDeclarations(active)
        for trigger_id in dict.fromkeys(one.trigger.id for one in active):
            held = self.declarations.of(trigger_id)
            self._put(trigger_id, held, position, microseconds(held[-1].since))
        for trigger_id in self.triggers.keys() - {one.trigger.id for one in active}:
            row = self.triggers[trigger_id]
            if row.state in (ACTIVE, SUSPENDED):
                self._set_state(row, REPLACED, position, row.state_time)
        self._save_declarations()

    def count_run(self, trigger_id: str, run_id: str, time: int, *, rejected: bool) -> None:
        """Counts a run of a trigger."""
        row = self.triggers.get(trigger_id)
        if row is None:
            return
        self.changed_triggers.add(trigger_id)
        if rejected:
            row.rejected += 1
        else:
            row.runs += 1
            row.last_fired, row.last_run_id = time, run_id

    def empty(self, trigger_id: str, position: Position | None, by: str | None) -> None:
        """Records the position and invocation (`by`) of an entry that emptied a trigger.

        The `Judged` entry of the same decision may list contributions that precede that entry.
        """
        if position is not None:
            self.emptied.setdefault(trigger_id, []).append((position, by))

    def drop_outdated(self, trigger_ids: Iterable[str]) -> list[KeptRow]:
        """Drops contributions from before the triggers were last emptied or declared."""
        dropped: list[KeptRow] = []
        for trigger_id in trigger_ids:
            for position, by in self.emptied.get(trigger_id, ()):
                dropped += self.waiting.drop_emptied(trigger_id, position, by)
            active = self.declarations.of(trigger_id)
            if active:
                dropped += self.waiting.drop_before(trigger_id, active[-1].declared_at)
            elif self.progress.gap_at == 0:
                dropped += self.waiting.drop(trigger_id)
        self.emptied.clear()
        return dropped

    def save(self) -> None:
        """Updates `progress`."""
        self.progress.emptied = _encode(self.emptied) if self.emptied else b""

    def _put(self, trigger_id: str, active: list[ActiveTrigger], position: Position, time: int) -> None:
        newest = active[-1]
        self.definitions[trigger_id] = newest.trigger
        row = self.triggers.get(trigger_id)
        if row is None:
            row = self.triggers[trigger_id] = TriggerRow(
                trigger_id, "", position, 0, REPLACED, position, time, 0, 0, None, None, b""
            )
        if row.state in (REPLACED, RETIRED):
            row.position = position
        row.slot, row.declared_time = newest.trigger.slot, microseconds(newest.since)
        row.definition = _encode(newest.trigger)
        state = SUSPENDED if all(one.suspended for one in active) else ACTIVE
        self._set_state(row, state, position, time, began=newest.declared_at)

    def _set_state(
        self, row: TriggerRow, state: TriggerState, position: Position, time: int, began: Position = 0
    ) -> None:
        self.changed_triggers.add(row.trigger_id)
        if row.state == state:
            return
        if ACTIVE in (state, row.state):
            starts = state == ACTIVE
            is_new = starts and row.state != SUSPENDED
            self.listening.append((row.trigger_id, began if is_new else position, starts))
        row.state, row.state_position, row.state_time = state, position, time

    def _save_declarations(self) -> None:
        self.progress.declarations = _encode(list(self.declarations.slots.values()))


def listened_to(trigger: TriggerDefinition) -> list[tuple[str, str]]:
    """Returns the event codes that a trigger's conditions listen to, each with the condition's id."""
    return [(c.event_code, c.id) for c in trigger.conditions if isinstance(c, EventCondition)]
