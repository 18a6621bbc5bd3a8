"""Encodes the arguments of the scripts, and decodes their answers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from trigger_engine.backend import (
    REGISTRATIONS,
    Accepted,
    AnyEntry,
    Invocation,
    InvocationRegistered,
    InvocationState,
    InvocationStatus,
    Judged,
    LeaderElected,
    Outcome,
    Part,
    Refused,
    Registration,
    Retried,
    StatusEntry,
    check_status_entries_alone,
    decode_entry,
    encode_entry,
    is_leader_entry,
)
from trigger_engine.errors import SerializationError

_FREE, _TERMED, _ELECTED, _REGISTRATION, _MOVE = range(5)

pack = msgspec.msgpack.Encoder().encode


class Row(msgspec.Struct, frozen=True, array_like=True):
    """An invocation as the scripts store it."""

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
    """The description of the parts for a script, and each entry's bytes. Raises SerializationError, ValueError."""
    check_status_entries_alone(parts)
    data: list[bytes] = []
    described: list[Any] = []
    for part in parts:
        described.append(len(part))
        for entry in part:
            encoded = encode_entry(entry)
            data.append(encoded)
            described += _describe(entry, encoded)
    return pack(described), data


def _describe(entry: AnyEntry, data: bytes) -> tuple[Any, ...]:
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
        return _describe_registration(entry, data)
    if is_leader_entry(entry):
        return (_TERMED, entry.id, entry.term, entry.upto if isinstance(entry, Judged) else False)  # type: ignore[union-attr]
    if isinstance(entry, LeaderElected):
        return (_ELECTED, entry.id, entry.name)
    return (_FREE, entry.id)


def _describe_registration(entry: Registration, data: bytes) -> tuple[Any, ...]:
    not_before: float | bool | None = None
    term: int | bool = False
    if isinstance(entry, InvocationRegistered):
        not_before = entry.not_before
    else:
        term = entry.term
    if "\0" in entry.queue or "\0" in entry.task_id:
        raise SerializationError(
            f"the queue {entry.queue!r} of {entry.task_id!r} contains a NUL character: choose another name"
        )
    # The slice of the bytes with `depth, invocation_id, task_id, arguments`: `Started` has them in the same order.
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


def decode_outcomes(answer: Sequence[int | bytes]) -> list[Outcome]:
    """The outcome of each part."""
    return [Accepted(each) if isinstance(each, int) else Refused(each.decode()) for each in answer]


def decode_invocation(answer: Sequence[Any]) -> Invocation:
    """An invocation from its row, its registration and its newest status entry."""
    packed, registration, latest = answer
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


def decode_names(answer: Sequence[bytes]) -> frozenset[str]:
    """A set of ids or names."""
    return frozenset(each.decode() for each in answer)
