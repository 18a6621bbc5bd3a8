"""Snapshots of the log's fold, from which a process continues without the messages before them."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from trigger_engine.backend import (
    REGISTRATIONS,
    AnyEntry,
    Checkpoint,
    InvocationState,
    LogState,
    MemoryContents,
    Position,
    Registration,
    decode_entry,
    encode_entry,
)


class _Snapshot(msgspec.Struct, frozen=True, array_like=True):
    """The stored form of a fold.

    `keys`: time and position of trimmed keyed entries, by id. `numbers`: the highest number of each writer, in the
    order of their last messages. `rows`: by position of the registration, that entry and the newest one of the
    invocation, each only if it is trimmed.
    """

    log_id: str
    trimmed: Position
    tail: Position
    states: dict[str, InvocationState]
    registered_at: dict[str, Position]
    terms: dict[str, Position]
    keys: dict[str, tuple[float, Position]]
    checkpoints: dict[str, list[Checkpoint]]
    numbers: list[tuple[str, int]]
    entries: list[bytes] = []
    rows: dict[Position, tuple[bytes | None, bytes | None]] = {}


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(_Snapshot)


@dataclass(frozen=True, slots=True)
class Copy:
    """A copy of a fold at one message, for a thread to encode: mutable parts are copied, entries are shared.

    `shell`: everything but the entries. `rows`: position of the registration, that entry, the invocation's newest one.
    """

    shell: _Snapshot
    entries: list[AnyEntry]
    rows: list[tuple[Position, Registration, AnyEntry]]

    def encode(self) -> bytes:
        """The bytes of a snapshot."""
        entries = [encode_entry(each) for each in self.entries]
        rows = {at: self._row(at, registration, latest) for at, registration, latest in self.rows}
        return _encoder.encode(msgspec.structs.replace(self.shell, entries=entries, rows=rows))

    def _row(self, at: Position, registration: Registration, latest: AnyEntry) -> tuple[bytes | None, bytes | None]:
        if at > self.shell.trimmed:
            return None, None
        is_kept = self.shell.states[registration.invocation_id].changed_at > self.shell.trimmed
        return encode_entry(registration), None if is_kept else encode_entry(latest)


def copy_of(contents: MemoryContents, numbers: list[tuple[str, int]]) -> Copy:
    """Copies a fold, fast enough to do it between two messages."""
    log_state = contents.log_state
    shell = _Snapshot(
        contents.log_id,
        contents.trimmed,
        log_state.tail,
        log_state.states.copy(),
        log_state.registered_at.copy(),
        log_state.terms.copy(),
        {key: (used_at, log_state.ids[key]) for key, used_at in contents.keys.items()},
        contents.checkpoints.copy(),
        numbers,
    )
    rows = [(at, registration, latest) for at, (registration, latest) in contents.rows.items()]
    return Copy(shell, contents.entries.copy(), rows)


def decode_snapshot(data: bytes, location: str) -> tuple[MemoryContents, list[tuple[str, int]]]:
    """The fold, with an empty queue, and the writers' numbers. Raises what `decode_entry` raises, DecodeError."""
    found = _decoder.decode(data)
    entries = [decode_entry(each) for each in found.entries]
    ids = {entry.id: position for position, entry in enumerate(entries, found.trimmed + 1)}
    ids |= {key: position for key, (_, position) in found.keys.items()}
    contents = MemoryContents(
        log_id=found.log_id,
        location=location,
        trimmed=found.trimmed,
        entries=entries,
        log_state=LogState(found.tail, ids, found.terms, found.states, found.registered_at),
        keys={key: used_at for key, (used_at, _) in found.keys.items()},
        checkpoints=found.checkpoints,
    )

    def entry_at(position: Position, encoded: bytes | None) -> AnyEntry:
        return entries[position - found.trimmed - 1] if encoded is None else decode_entry(encoded)

    for at, (encoded, latest) in found.rows.items():
        registration = entry_at(at, encoded)
        assert isinstance(registration, REGISTRATIONS), registration
        changed_at = found.states[registration.invocation_id].changed_at
        contents.rows[at] = (registration, entry_at(changed_at, latest))
    return contents, found.numbers
