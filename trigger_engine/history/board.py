"""What the fold must know of everything before: triggers, what waits, and how far it is."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from trigger_engine.core.declarations import DeclarationEntry, Declarations, TriggerInForce
from trigger_engine.core.lifecycle import InvocationStatus
from trigger_engine.entries.definitions import EventCondition, TriggerDefinition
from trigger_engine.entries.facts import Position, TriggerRetired
from trigger_engine.history.changes import Lookup
from trigger_engine.history.records import TriggerState
from trigger_engine.history.rows import ElectedRow, KeptRow, Progress, TriggerRow, microseconds
from trigger_engine.history.waiting import Waiting

IN_FORCE: TriggerState = "in force"
SUSPENDED: TriggerState = "suspended"
RETIRED: TriggerState = "retired"
REPLACED: TriggerState = "replaced"

_encode = msgspec.msgpack.Encoder().encode
decode_definition = msgspec.msgpack.Decoder(TriggerDefinition).decode
_decode_declarations = msgspec.msgpack.Decoder(list[TriggerInForce]).decode
_decode_emptied = msgspec.msgpack.Decoder(dict[str, list[tuple[int, str | None]]]).decode


class Board:
    """The part of the read model that a fold keeps in memory from batch to batch.

    `changed_triggers` and `listening` are what is to be written: trigger ids, and (trigger id, position) since which a
    trigger listens (True) or no longer does (False).
    """

    def __init__(self, progress: Progress, max_contributions: int) -> None:
        self.progress = progress
        self.elected: dict[str, ElectedRow] = {}
        self.triggers: dict[str, TriggerRow] = {}
        self.definitions: dict[str, TriggerDefinition] = {}
        self.declarations = Declarations(_decode_declarations(progress.declarations) if progress.declarations else ())
        self.waiting = Waiting(max_contributions)
        self.emptied: dict[str, list[tuple[Position, str | None]]] = (
            _decode_emptied(progress.emptied) if progress.emptied else {}
        )
        self.changed_triggers: set[str] = set()
        self.listening: list[tuple[str, Position, bool]] = []

    def load_trigger(self, row: TriggerRow) -> None:
        """Takes a trigger that is known already."""
        self.triggers[row.trigger_id] = row
        self.definitions[row.trigger_id] = decode_definition(row.definition)

    def restore_kept(self, row: KeptRow, lookup: Lookup) -> None:
        """Takes a contribution that waits already; triggers must be loaded before."""
        self.waiting.add([row], self.definitions)
        if row.invocation_id is None or not self.waiting.is_awaited(row.invocation_id):
            return
        invocation = lookup.invocation(row.invocation_id)
        if invocation is not None and InvocationStatus(invocation.status).is_final:
            self.waiting.end(row.invocation_id, invocation.changed_at)

    def is_current(self, term: Position) -> bool:
        """Whether a leader of this term may still write."""
        if self.elected:
            return any(row.position == term for row in self.elected.values())
        progress = self.progress
        if progress.gap_at == 0 or term < progress.highest_term:
            return False
        progress.highest_term = term
        return True

    def elect(self, row: ElectedRow) -> None:
        """Begins a term."""
        self.elected[row.name] = row

    def declare(self, position: Position, entry: DeclarationEntry, effective: Position) -> list[KeptRow]:
        """Folds what changes the triggers in force, from the position `effective` on; what is dropped for it."""
        dropped: list[KeptRow] = []
        gone = RETIRED if isinstance(entry, TriggerRetired) else REPLACED
        time = microseconds(entry.time)
        for trigger_id in self.declarations.apply(effective, entry):
            contents = self.declarations.of(trigger_id)
            if contents:
                self._put(trigger_id, contents, position, time)
            elif trigger_id in self.triggers:
                self._set_state(self.triggers[trigger_id], gone, position, time)
                dropped += self.waiting.drop(trigger_id)
        self._save_declarations()
        return dropped

    def seed(self, contents: list[TriggerInForce], position: Position) -> None:
        """Takes what is in force from elsewhere: the entries that say so are gone."""
        self.declarations = Declarations(contents)
        for trigger_id in dict.fromkeys(content.trigger.id for content in contents):
            held = self.declarations.of(trigger_id)
            self._put(trigger_id, held, position, microseconds(held[-1].since))
        for trigger_id in self.triggers.keys() - {content.trigger.id for content in contents}:
            row = self.triggers[trigger_id]
            if row.state in (IN_FORCE, SUSPENDED):
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
        """Notes where the entry stands that made a trigger start empty, and the invocation of that entry.

        What the `Judged` of the same record says was kept may have come before that entry.
        """
        if position is not None:
            self.emptied.setdefault(trigger_id, []).append((position, by))

    def drop_outdated(self, trigger_ids: Iterable[str]) -> list[KeptRow]:
        """Drops what a record says these triggers keep that came before they were emptied, or came into force."""
        dropped: list[KeptRow] = []
        for trigger_id in trigger_ids:
            for position, by in self.emptied.get(trigger_id, ()):
                dropped += self.waiting.drop_emptied(trigger_id, position, by)
            contents = self.declarations.of(trigger_id)
            if contents:
                dropped += self.waiting.drop_before(trigger_id, contents[-1].declared_at)
            elif self.progress.gap_at == 0:
                dropped += self.waiting.drop(trigger_id)
        self.emptied.clear()
        return dropped

    def save(self) -> None:
        """Brings `progress` up to date."""
        self.progress.emptied = _encode(self.emptied) if self.emptied else b""

    def _put(self, trigger_id: str, contents: list[TriggerInForce], position: Position, time: int) -> None:
        newest = contents[-1]
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
        state = SUSPENDED if all(content.suspended for content in contents) else IN_FORCE
        self._set_state(row, state, position, time, began=newest.declared_at)

    def _set_state(
        self, row: TriggerRow, state: TriggerState, position: Position, time: int, began: Position = 0
    ) -> None:
        self.changed_triggers.add(row.trigger_id)
        if row.state == state:
            return
        if IN_FORCE in (state, row.state):
            starts = state == IN_FORCE
            begins_anew = starts and row.state != SUSPENDED
            self.listening.append((row.trigger_id, began if begins_anew else position, starts))
        row.state, row.state_position, row.state_time = state, position, time

    def _save_declarations(self) -> None:
        self.progress.declarations = _encode(list(self.declarations.slots.values()))


def listened_to(trigger: TriggerDefinition) -> list[tuple[str, str]]:
    """The event codes that a trigger's conditions listen to, each with the condition's id."""
    return [(c.event_code, c.id) for c in trigger.conditions if isinstance(c, EventCondition)]
