"""The rule by which every process folds the log into states of invocations."""

from __future__ import annotations

from trigger_engine.backend import (
    REGISTRATIONS,
    InvocationState,
    Position,
    Registration,
    StatusEntry,
    initial_state,
    move,
)

INVOCATION_ENTRIES = (*REGISTRATIONS, StatusEntry)
"""The types of the entries that change an invocation, for `isinstance`."""


def next_state(
    state: InvocationState | None, entry: Registration | StatusEntry, position: Position
) -> InvocationState | None:
    """The state of an invocation after an entry, None when the entry changes nothing.

    A registration creates the state if there is none; a valid status entry after the last change moves it.
    """
    if not isinstance(entry, StatusEntry):
        return initial_state(entry, position) if state is None else None
    if state is None or state.changed_at >= position:
        return None
    moved = move(state, entry, position)
    return None if isinstance(moved, str) else moved
