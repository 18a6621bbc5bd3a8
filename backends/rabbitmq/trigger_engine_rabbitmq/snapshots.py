"""Snapshots of the log's fold: from one of them a process goes on that has not read what stands before it."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from trigger_engine.core.lifecycle import InvocationState
from trigger_engine.entries.encoding import decode_entry, encode_entry
from trigger_engine.entries.facts import AnyEntry, Position
from trigger_engine.log.admission import REGISTRATIONS, Registration, Standing, is_keyed
from trigger_engine.log.contract import Checkpoint
from trigger_engine.log.memory_store import Contents, Row, Stored


class _Snapshot(msgspec.Struct, frozen=True, array_like=True):
    """A fold as data.

    `keys`: when and where keyed ids were used whose entries are trimmed. `numbers`: of each writer the highest, in the
    order of their last messages. `rows`: by position of the registration, that entry and the newest one of the
    invocation, each only where it is trimmed.
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
    """A fold as it was at one place: what moves on was copied, entries do not. So a thread may encode it.

    `shell`: all but the entries. `rows`: position of the registration, that entry, the invocation's newest one.
    """

    shell: _Snapshot
    entries: list[Stored]
    rows: list[tuple[Position, Registration, AnyEntry]]

    def encode(self) -> bytes:
        """The bytes of a snapshot."""
        entries = [encode_entry(each.entry) for each in self.entries]
        rows = {at: self._row(at, registration, latest) for at, registration, latest in self.rows}
        return _encoder.encode(msgspec.structs.replace(self.shell, entries=entries, rows=rows))

    def _row(self, at: Position, registration: Registration, latest: AnyEntry) -> tuple[bytes | None, bytes | None]:
        if at > self.shell.trimmed:
            return None, None
        is_kept = self.shell.states[registration.invocation_id].changed_at > self.shell.trimmed
        return encode_entry(registration), None if is_kept else encode_entry(latest)


def copy_of(contents: Contents, numbers: list[tuple[str, int]]) -> Copy:
    """A copy of a fold, fast enough for between two messages."""
    standing = contents.standing
    shell = _Snapshot(
        contents.log_id,
        contents.trimmed,
        standing.tail,
        standing.states.copy(),
        standing.registered_at.copy(),
        standing.terms.copy(),
        {key: (used_at, standing.ids[key]) for key, used_at in contents.keys.items()},
        contents.checkpoints.copy(),
        numbers,
    )
    rows = [(at, row.registration, row.latest) for at, row in contents.rows.items()]
    return Copy(shell, contents.entries.copy(), rows)


def decode_snapshot(data: bytes, location: str) -> tuple[Contents, list[tuple[str, int]]]:
    """The fold, without its queue, and the numbers of writers. Raises what `decode_entry` raises, DecodeError."""
    found = _decoder.decode(data)
    entries = [decode_entry(each) for each in found.entries]
    ids = {entry.id: position for position, entry in enumerate(entries, found.trimmed + 1)}
    ids |= {key: position for key, (_, position) in found.keys.items()}
    contents = Contents(
        log_id=found.log_id,
        location=location,
        trimmed=found.trimmed,
        entries=[Stored(entry, entry.time if is_keyed(entry) else None) for entry in entries],
        standing=Standing(found.tail, ids, found.terms, found.states, found.registered_at),
        keys={key: used_at for key, (used_at, _) in found.keys.items()},
        checkpoints=found.checkpoints,
    )

    def entry_at(position: Position, encoded: bytes | None) -> AnyEntry:
        return entries[position - found.trimmed - 1] if encoded is None else decode_entry(encoded)

    for at, (encoded, latest) in found.rows.items():
        registration = entry_at(at, encoded)
        assert isinstance(registration, REGISTRATIONS), registration
        changed_at = found.states[registration.invocation_id].changed_at
        contents.rows[at] = Row(registration, entry_at(changed_at, latest))
    return contents, found.numbers
