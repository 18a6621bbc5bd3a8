"""Beginning past trimmed entries: what a checkpoint still says of them."""

from __future__ import annotations

from dataclasses import dataclass

from trigger_engine.core.checkpoint import Snapshot
from trigger_engine.core.joins import StoreState
from trigger_engine.entries.encoding import decode_entry
from trigger_engine.entries.facts import AnyEntry, InvocationEntry, Position
from trigger_engine.history.board import Board
from trigger_engine.history.changes import Changes
from trigger_engine.history.invocation_rows import new_invocation, set_state
from trigger_engine.history.rows import ElectedRow, KeptRow
from trigger_engine.log.contract import Invocation


@dataclass(frozen=True, slots=True)
class Seed:
    """A checkpoint, and the invocations registered before the log's start that were open in it."""

    snapshot: Snapshot
    invocations: list[Invocation]


def plant(seed: Seed, start: Position, board: Board, changes: Changes) -> None:
    """Puts into the fold what was so at the log's start; what the checkpoint knows of later will be folded."""
    snapshot = seed.snapshot
    for name, position in snapshot.validity.terms.items():
        if position <= start:
            board.elect(ElectedRow(name, position, 0, ""))
    board.seed(snapshot.triggers, start)
    board.progress.judged_upto = max(board.progress.judged_upto, min(snapshot.judged, start))
    _plant_invocations(seed, start, changes)
    _plant_waiting(snapshot, start, board, changes)


def _plant_invocations(seed: Seed, start: Position, changes: Changes) -> None:
    for invocation in seed.invocations:
        registration = invocation.registration
        if changes.invocation(registration.invocation_id) is not None:
            continue
        row = new_invocation(invocation.registered_at, registration)
        state = seed.snapshot.validity.open[registration.invocation_id]
        if state.changed_at <= start:
            set_state(row, state)
        changes.add_invocation(row)


def _plant_waiting(snapshot: Snapshot, start: Position, board: Board, changes: Changes) -> None:
    for trigger_id in list(board.waiting.parts):
        for row in board.waiting.drop(trigger_id):
            row.waiting = False
            changes.keep(row)
    entries = {at: decode_entry(data) for at, data in snapshot.entries if at <= start}
    for join in snapshot.joins:
        rows = [row for store in join.complete for row in _kept_rows(join.trigger_id, store, entries, is_complete=True)]
        for group in join.partial.values():
            rows += [row for store in group for row in _kept_rows(join.trigger_id, store, entries, is_complete=False)]
        for row in rows:
            for changed in board.waiting.add([row], board.definitions):
                changes.keep(changed)


def _kept_rows(
    trigger_id: str, store: StoreState, entries: dict[Position, AnyEntry], *, is_complete: bool
) -> list[KeptRow]:
    rows = []
    for position in store.positions:
        entry = entries.get(position)
        if entry is not None:
            invocation_id = entry.invocation_id if isinstance(entry, InvocationEntry) else None
            settled_at = position if is_complete else None
            rows.append(KeptRow(trigger_id, store.condition_id, entry.id, position, invocation_id, settled_at))
    return rows
