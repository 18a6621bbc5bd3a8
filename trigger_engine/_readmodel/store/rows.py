"""The rows of the read model. Fields are in the order of the table's columns.

Times are microseconds since 1970 UTC. Values are msgpack.
"""

from __future__ import annotations

import math

import msgspec

RECORDED, MATCHED, TRIGGERED = 0, 1, 2
"""Outcomes of an event, in ascending order."""

MICROSECONDS = 1_000_000


def microseconds(seconds: float) -> int:
    """Returns a time as stored, with the rounding of `datetime.fromtimestamp`."""
    fraction, whole = math.modf(seconds)
    return int(whole) * MICROSECONDS + round(fraction * MICROSECONDS)


class TableRow(msgspec.Struct, gc=False):
    """A row of one table."""


class EventRow(TableRow):
    """An event. `search`: its payload as casefolded JSON text."""

    position: int
    event_id: str
    event_code: str
    time: int
    outcome: int = RECORDED
    emitter_task_id: str | None = None
    emitter_invocation_id: str | None = None
    depth: int = 0
    keyed: bool = False
    payload: bytes = b""
    search: str = ""


class TickRow(TableRow):
    """A cron tick."""

    position: int
    entry_id: str
    condition_id: str
    time: int
    scheduled_for: int


class InvocationRow(TableRow):
    """An invocation. Status fields as in `InvocationState`. `exception`: the ExceptionFacts of the latest failure."""

    position: int
    invocation_id: str
    task_id: str
    status: str
    attempt: int
    claim_id: str
    runner_id: str | None
    recoveries: int
    not_before: float | None
    changed_at: int
    changed_time: int
    result: bytes | None
    exception: bytes | None
    queue: str | None
    time: int | None
    arguments: bytes
    keyed: bool
    trigger_run_id: str | None
    trigger_id: str | None
    parent_invocation_id: str | None
    rerun_of: str | None
    depth: int


class StatusRow(TableRow):
    """A status entry: the move from `came_from` to `status`."""

    invocation_position: int
    position: int
    entry_id: str
    came_from: str
    status: str
    time: int
    runner_id: str | None
    attempt: int
    exception: bytes | None


class RunRow(TableRow):
    """A trigger run. `error` is set if it was rejected; else the started invocation has the same position."""

    position: int
    run_id: str
    trigger_id: str
    slot: str
    task_id: str
    time: int
    rejected: bool
    invocation_id: str | None
    error: str | None
    dropped: int
    depth: int


class Source(TableRow):
    """The entry that met a condition. `invocation_id`: that of the status, or of the event's emitter."""

    position: int | None = None
    kind: str = "unknown"
    time: int | None = None
    event_code: str | None = None
    invocation_id: str | None = None
    status: str | None = None
    scheduled_for: int | None = None


class ParticipantRow(TableRow):
    """A condition and the entry that met it in a run. The last six columns come from its `Source`."""

    run_position: int
    ordinal: int
    condition_id: str
    entry_id: str
    kind: str
    time: int | None
    event_code: str | None
    source_invocation_id: str | None
    status: str | None
    scheduled_for: int | None


class KeptRow(TableRow):
    """A contribution kept by an AND. It is `waiting` until it is dropped; the row is deleted when it fires.

    `position`: that of the entry. `invocation_id`: the invocation of a status; None for events and ticks.
    `settled_at`: the position at which its group was complete; None before.
    """

    trigger_id: str
    condition_id: str
    entry_id: str
    position: int
    invocation_id: str | None
    settled_at: int | None = None
    waiting: bool = True


class TriggerRow(TableRow):
    """A declared trigger. `position`, `declared_time`: those of its newest declaration. `definition`: msgpack."""

    trigger_id: str
    slot: str
    position: int
    declared_time: int
    state: str
    state_position: int
    state_time: int
    runs: int
    rejected: int
    last_fired: int | None
    last_run_id: str | None
    definition: bytes


class NoticeRow(TableRow):
    """A notice of a leader."""

    position: int
    entry_id: str
    kind: str
    time: int
    text: str
    trigger_id: str | None = None
    condition_id: str | None = None
    subject_id: str | None = None


class VoidRow(TableRow):
    """A void entry. `entry`: its encoding in the log."""

    position: int
    entry_id: str
    kind: str
    time: int
    reason: str
    entry: bytes


class ElectedRow(TableRow):
    """The latest election for a lease."""

    name: str
    position: int
    time: int
    runner_id: str


class Progress(TableRow):
    """How far the log is projected. `position`, `entry_id`: the cursor.

    `gap_at`: the position at which reading resumed after entries were trimmed unread, or 0; rows from before may be
    outdated. `highest_term`: the highest term in leader entries since the gap. `folded`: the number of entries read.
    `declarations`: the active triggers (msgpack). `emptied`: the triggers emptied since the last `Judged` (msgpack).
    """

    log_id: str
    position: int = 0
    entry_id: str = ""
    gap_at: int = 0
    highest_term: int = 0
    folded: int = 0
    evaluated_upto: int = 0
    last_evaluated: str = ""
    declarations: bytes = b""
    emptied: bytes = b""
