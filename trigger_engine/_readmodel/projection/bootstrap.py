"""Starts a projection after trimmed entries, with what a checkpoint still knows about them."""

from __future__ import annotations

from dataclasses import dataclass

from trigger_engine._engine.checkpoint import Snapshot
from trigger_engine._engine.joins import ContributionsState
from trigger_engine._model.encoding import decode_entry
from trigger_engine._model.entries import AnyEntry, InvocationEntry, Position
from trigger_engine._readmodel.projection.entry_rows import new_invocation, set_state
from trigger_engine._readmodel.projection.projection_state import ProjectionState
from trigger_engine._readmodel.projection.unit_of_work import UnitOfWork
from trigger_engine._readmodel.store.rows import ElectedRow, KeptRow
from trigger_engine.backend._contract import Invocation


@dataclass(frozen=True, slots=True)
class Bootstrap:
    """A checkpoint, and the invocations open in it that were registered before the start of the log."""

    snapshot: Snapshot
    invocations: list[Invocation]


def apply_bootstrap(bootstrap: Bootstrap, start: Position, state: ProjectionState, changes: UnitOfWork) -> None:
    """Restores the state at the start of the log. Later parts of the checkpoint are ignored: the log has them."""
    snapshot = bootstrap.snapshot
    for name, position in snapshot.validity.terms.items():
        if position <= start:
            state.elect(ElectedRow(name, position, 0, ""))
    state.restore_triggers(snapshot.triggers, start)
    state.progress.evaluated_upto = max(state.progress.evaluated_upto, min(snapshot.evaluated, start))
    _restore_invocations(bootstrap, start, changes)
    _restore_contributions(snapshot, start, state, changes)


def _restore_invocations(bootstrap: Bootstrap, start: Position, changes: UnitOfWork) -> None:
    for invocation in bootstrap.invocations:
        registration = invocation.registration
        if changes.invocation(registration.invocation_id) is not None:
            continue
        row = new_invocation(invocation.registered_at, registration)
        state = bootstrap.snapshot.validity.open[registration.invocation_id]
        if state.changed_at <= start:
            set_state(row, state)
        changes.add_invocation(row)


def _restore_contributions(snapshot: Snapshot, start: Position, state: ProjectionState, changes: UnitOfWork) -> None:
    for trigger_id in list(state.waiting.parts):
        for row in state.waiting.drop(trigger_id):
            row.waiting = False
            changes.keep(row)
    entries = {at: decode_entry(data) for at, data in snapshot.entries if at <= start}
    for join in snapshot.joins:
        rows = [row for store in join.complete for row in _kept_rows(join.trigger_id, store, entries, is_complete=True)]
        for group in join.partial.values():
            rows += [row for store in group for row in _kept_rows(join.trigger_id, store, entries, is_complete=False)]
        for row in rows:
            for changed in state.waiting.add([row], state.definitions):
                changes.keep(changed)


def _kept_rows(
    trigger_id: str, store: ContributionsState, entries: dict[Position, AnyEntry], *, is_complete: bool
) -> list[KeptRow]:
    rows = []
    for position in store.positions:
        entry = entries.get(position)
        if entry is not None:
            invocation_id = entry.invocation_id if isinstance(entry, InvocationEntry) else None
            settled_at = position if is_complete else None
            rows.append(KeptRow(trigger_id, store.condition_id, entry.id, position, invocation_id, settled_at))
    return rows
