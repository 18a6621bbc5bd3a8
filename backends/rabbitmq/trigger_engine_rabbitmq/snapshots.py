"""Snapshots of the log's fold: from one of them a process goes on that has not read what stands before it."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from trigger_engine.core.lifecycle import InvocationState
from trigger_engine.entries.encoding import decode_entry, encode_entry
from trigger_engine.entries.facts import AnyEntry, Position
from trigger_engine.log.admission import Standing, is_keyed
from trigger_engine.log.contract import Checkpoint
from trigger_engine.log.memory_store import Contents, Row, Stored


class _Snapshot(msgspec.Struct, frozen=True, array_like=True):
    """A fold as data.

    `rows`: by position of the registration, that entry and the newest one of the invocation, each only where it is
    trimmed. `keys`: when and where keyed ids were used whose entries are trimmed. `numbers`: of each writer the
    highest, in the order of their last messages.
    """

    log_id: str
    trimmed: Position
    tail: Position
    entries: list[bytes]
    rows: dict[Position, tuple[bytes | None, bytes | None]]
    states: dict[str, InvocationState]
    registered_at: dict[str, Position]
    terms: dict[str, Position]
    keys: dict[str, tuple[float, Position]]
    checkpoints: dict[str, list[Checkpoint]]
    numbers: list[tuple[str, int]]


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(_Snapshot)


@dataclass(frozen=True, slots=True)
class Copy:
    """A fold as it was at one place: what moves on was copied, entries do not. So it can be encoded by a thread."""

    log_id: str
    trimmed: Position
    tail: Position
    entries: list[Stored]
    rows: list[tuple[Position, AnyEntry, AnyEntry]]
    states: dict[str, InvocationState]
    registered_at: dict[str, Position]
    terms: dict[str, Position]
    keys: dict[str, tuple[float, Position]]
    checkpoints: dict[str, list[Checkpoint]]
    numbers: list[tuple[str, int]]

    def encode(self) -> bytes:
        """The bytes of a snapshot."""
        snapshot = _Snapshot(
            self.log_id,
            self.trimmed,
            self.tail,
            [encode_entry(each.entry) for each in self.entries],
            {at: self._row(at, registration, latest) for at, registration, latest in self.rows},
            self.states,
            self.registered_at,
            self.terms,
            self.keys,
            self.checkpoints,
            self.numbers,
        )
        return _encoder.encode(snapshot)

    def _row(self, at: Position, registration: AnyEntry, latest: AnyEntry) -> tuple[bytes | None, bytes | None]:
        if at > self.trimmed:
            return None, None
        is_kept = self.states[registration.invocation_id].changed_at > self.trimmed  # type: ignore[union-attr]
        return encode_entry(registration), None if is_kept else encode_entry(latest)


def copy_of(contents: Contents, numbers: list[tuple[str, int]]) -> Copy:
    """A copy of a fold, fast enough for between two messages."""
    standing = contents.standing
    return Copy(
        contents.log_id,
        contents.trimmed,
        standing.tail,
        contents.entries.copy(),
        [(at, row.registration, row.latest) for at, row in contents.rows.items()],
        standing.states.copy(),
        standing.registered_at.copy(),
        standing.terms.copy(),
        {key: (used_at, standing.ids[key]) for key, used_at in contents.keys.items()},
        contents.checkpoints.copy(),
        numbers,
    )


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

    for at, (registration, latest) in found.rows.items():
        registered = entry_at(at, registration)
        changed_at = found.states[registered.invocation_id].changed_at  # type: ignore[union-attr]
        contents.rows[at] = Row(registered, entry_at(changed_at, latest))  # type: ignore[arg-type]
    return contents, found.numbers
