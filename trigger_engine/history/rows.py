"""The rows of the read model as the fold changes them; fields stand in the order of the table's columns.

Times are microseconds since 1970 UTC. Values are msgpack.
"""

from __future__ import annotations

import math

import msgspec

RECORDED, MATCHED, TRIGGERED = 0, 1, 2
"""What became of an event, in rising order."""

MICROSECONDS = 1_000_000


def microseconds(seconds: float) -> int:
    """A time as stored, rounded as `datetime.fromtimestamp` rounds it."""
    fraction, whole = math.modf(seconds)
    return int(whole) * MICROSECONDS + round(fraction * MICROSECONDS)


class Row(msgspec.Struct, gc=False):
    """A row of one table."""


class EventRow(Row):
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


class TickRow(Row):
    """A cron tick."""

    position: int
    entry_id: str
    condition_id: str
    time: int
    scheduled_for: int


class InvocationRow(Row):
    """An invocation. Status fields as in `InvocationState`; `exception`: an ExceptionFacts of the newest failure."""

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


class StatusRow(Row):
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


class RunRow(Row):
    """A trigger run; `error` is set when it was rejected, else the invocation at its position is what it started."""

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


class Source(Row):
    """What an entry that met a condition was. `invocation_id`: of the status, or the emitter of the event."""

    position: int | None = None
    kind: str = "unknown"
    time: int | None = None
    event_code: str | None = None
    invocation_id: str | None = None
    status: str | None = None
    scheduled_for: int | None = None


class ParticipantRow(Row):
    """A condition and the entry that satisfied it in a run; the last six columns are what its `Source` says."""

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


class KeptRow(Row):
    """A contribution that an AND kept: `waiting` until it fires (the row goes then) or is dropped.

    `position`: of the entry. `invocation_id`: whose status it is, None for events and ticks. `settled_at`: the position
    at which its group was complete, None before.
    """

    trigger_id: str
    condition_id: str
    entry_id: str
    position: int
    invocation_id: str | None
    settled_at: int | None = None
    waiting: bool = True


class TriggerRow(Row):
    """A declared trigger. `position`: of its newest declaration; `declared_time`: since when; `definition`: msgpack."""

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


class NoticeRow(Row):
    """What a leader noted."""

    position: int
    entry_id: str
    kind: str
    time: int
    text: str
    trigger_id: str | None = None
    condition_id: str | None = None
    subject_id: str | None = None


class VoidRow(Row):
    """An entry that counts for nothing; `entry` is its encoding in the log."""

    position: int
    entry_id: str
    kind: str
    time: int
    reason: str
    entry: bytes


class ElectedRow(Row):
    """The newest election of a lease name."""

    name: str
    position: int
    time: int
    runner_id: str


class Progress(Row):
    """How far the log is folded. `position` and `entry_id`: its bookmark.

    `gap_at`: where reading began anew after entries had been trimmed, 0 for nowhere; what the rows say of the time
    before may be out of date. `highest_term`: of the leaders' entries since. `folded`: how many entries.
    `declarations`, `emptied`: what is in force, and what runs since the last `Judged` emptied (msgpack).
    """

    log_id: str
    position: int = 0
    entry_id: str = ""
    gap_at: int = 0
    highest_term: int = 0
    folded: int = 0
    judged_upto: int = 0
    last_judged: str = ""
    declarations: bytes = b""
    emptied: bytes = b""
