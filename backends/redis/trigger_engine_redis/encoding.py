"""What the scripts are told, and what they tell."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from trigger_engine.core.lifecycle import InvocationState, InvocationStatus
from trigger_engine.entries.encoding import decode_entry, encode_entry
from trigger_engine.entries.facts import AnyEntry, InvocationRegistered, Judged, LeaderElected, Retried, StatusEntry
from trigger_engine.errors import SerializationError
from trigger_engine.log.admission import REGISTRATIONS, Registration, check_parts, is_of_a_term
from trigger_engine.log.contract import Accepted, Invocation, Outcome, Part, Refused

_FREE, _TERMED, _ELECTED, _REGISTRATION, _MOVE = range(5)

pack = msgspec.msgpack.Encoder().encode


class Row(msgspec.Struct, frozen=True, array_like=True):
    """An invocation as the scripts keep it."""

    registered_at: int
    queue: str
    task_id: str
    slice_from: int
    slice_size: int
    status: InvocationStatus
    attempt: int
    claim_id: str
    runner_id: str | bool
    recoveries: int
    not_before: float | bool
    changed_at: int


_row_decoder = msgspec.msgpack.Decoder(Row)


def encode_parts(parts: Sequence[Part]) -> tuple[bytes, list[bytes]]:
    """What a script must know of the parts, and each entry's bytes. Raises SerializationError, ValueError."""
    check_parts(parts)
    data: list[bytes] = []
    told: list[Any] = []
    for part in parts:
        told.append(len(part))
        for entry in part:
            encoded = encode_entry(entry)
            data.append(encoded)
            told += _told(entry, encoded)
    return pack(told), data


def _told(entry: AnyEntry, data: bytes) -> tuple[Any, ...]:
    kind = type(entry)
    if isinstance(entry, StatusEntry):
        return (
            _MOVE,
            entry.id,
            entry.invocation_id,
            kind.__struct_config__.tag,
            entry.attempt,
            entry.claim_id,
            False if entry.runner_id is None else entry.runner_id,
            entry.not_before if isinstance(entry, Retried) else False,
        )
    if isinstance(entry, REGISTRATIONS):
        return _registration(entry, data)
    if is_of_a_term(entry):
        return (_TERMED, entry.id, entry.term, entry.upto if isinstance(entry, Judged) else False)  # type: ignore[union-attr]
    if isinstance(entry, LeaderElected):
        return (_ELECTED, entry.id, entry.name)
    return (_FREE, entry.id)


def _registration(entry: Registration, data: bytes) -> tuple[Any, ...]:
    not_before: float | bool | None = None
    term: int | bool = False
    if isinstance(entry, InvocationRegistered):
        not_before = entry.not_before
    else:
        term = entry.term
    if "\0" in entry.queue or "\0" in entry.task_id:
        raise SerializationError(f"the queue {entry.queue!r} of {entry.task_id!r} has a zero character: choose another")
    # Where `depth, invocation_id, task_id, arguments` are in the bytes, which `Started` has in the same order.
    head = 1 if data[1] < 0xA0 else 3
    before = pack((entry.__struct_config__.tag, entry.id, entry.time, entry.cause))
    within = pack((entry.depth, entry.invocation_id, entry.task_id))
    return (
        _REGISTRATION,
        entry.id,
        entry.invocation_id,
        entry.task_id,
        entry.queue,
        False if not_before is None else not_before,
        head + len(before),
        len(within) - 1 + len(bytes(entry.arguments)),
        term,
    )


def decode_outcomes(told: Sequence[int | bytes]) -> list[Outcome]:
    """What became of each part."""
    return [Accepted(each) if isinstance(each, int) else Refused(each.decode()) for each in told]


def decode_invocation(told: Sequence[Any]) -> Invocation:
    """An invocation from its row, its registration and its newest status entry."""
    packed, registration, latest = told
    row = _row_decoder.decode(packed)
    entry = decode_entry(registration)
    assert isinstance(entry, REGISTRATIONS)
    state = InvocationState(
        status=row.status,
        attempt=row.attempt,
        claim_id=row.claim_id,
        runner_id=None if isinstance(row.runner_id, bool) else row.runner_id,
        recoveries=row.recoveries,
        not_before=None if isinstance(row.not_before, bool) else row.not_before,
        changed_at=row.changed_at,
    )
    return Invocation(entry, row.registered_at, state, entry if latest is None else decode_entry(latest))


def decode_names(told: Sequence[bytes]) -> frozenset[str]:
    """Ids or names."""
    return frozenset(each.decode() for each in told)
