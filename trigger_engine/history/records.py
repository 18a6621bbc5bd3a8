"""What history answers with: frozen records, and the pages that lists of them come in.

Times are aware UTC datetimes by the writer's clock, to the microsecond. Values (payloads, arguments, results) are
msgpack builtins. `position` is the place in the log of the entry that a record begins with; it orders records.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, Literal, TypeVar, overload

import msgspec

from trigger_engine.core.lifecycle import InvocationStatus

T_co = TypeVar("T_co", covariant=True)
Kind = Literal["event", "status", "result", "exception", "cron", "unknown"]
TriggerState = Literal["in force", "suspended", "retired", "replaced"]
Relation = Literal["called", "triggered", "rerun"]


@dataclass(frozen=True, slots=True)
class Page(Sequence[T_co], Generic[T_co]):
    """Some records, newest first. `next_cursor`: give it as `cursor` to read on; None at the end."""

    items: tuple[T_co, ...] = ()
    next_cursor: str | None = None

    @overload
    def __getitem__(self, index: int) -> T_co: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[T_co]: ...
    def __getitem__(self, index: int | slice) -> T_co | Sequence[T_co]:
        return self.items[index]

    def __len__(self) -> int:
        return len(self.items)

    def __iter__(self) -> Iterator[T_co]:
        return iter(self.items)


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """A record of the read model."""


class EventRecord(Record, frozen=True, kw_only=True):
    """An event, whether or not anything listened to it.

    `valid_condition_ids`: conditions that listened to its code, of triggers in force (not suspended) at its position.
    `matched_condition_ids`: those whose filter it passed. `trigger_run_ids`: runs, rejected ones too, that it took part
    in. `invocation_ids`: invocations that these runs started. `matched`, `triggered`: whether it met any condition, and
    whether it started anything, over what retention removed too. `depth`: how many triggers lie behind it.
    """

    event_id: str
    event_code: str
    payload: Any
    timestamp: datetime
    emitter_task_id: str | None
    emitter_invocation_id: str | None
    valid_condition_ids: tuple[str, ...]
    matched_condition_ids: tuple[str, ...]
    trigger_run_ids: tuple[str, ...]
    invocation_ids: tuple[str, ...]
    matched: bool
    triggered: bool
    depth: int
    position: int


class ParticipantRecord(Record, frozen=True, kw_only=True):
    """A condition of a trigger and the entry that met it.

    `kind` says which of the other fields are set: `event_code` and the emitter's `invocation_id` for an event,
    `invocation_id` and `status` for what an invocation did, `scheduled_for` for a cron time. They are None, as is
    `timestamp`, where retention has removed the entry.
    """

    condition_id: str
    kind: Kind
    entry_id: str
    timestamp: datetime | None
    event_code: str | None = None
    invocation_id: str | None = None
    status: InvocationStatus | None = None
    scheduled_for: datetime | None = None


class TriggerRunRecord(Record, frozen=True, kw_only=True):
    """A firing of a trigger. `error` is set when it was rejected: its arguments could not be made, nothing was started.

    `participants`: at least one per satisfied condition, oldest first. `dropped`: contributions that the cap left out.
    `logic` is None where the trigger's declaration was removed by retention.
    """

    run_id: str
    trigger_id: str
    slot: str
    task_id: str
    logic: Literal["and", "or"] | None
    participants: tuple[ParticipantRecord, ...]
    invocation_id: str | None
    arguments: Mapping[str, Any] | None
    error: str | None
    timestamp: datetime
    dropped: int
    depth: int
    position: int


class StatusRecord(Record, frozen=True, kw_only=True):
    """A status that an invocation reached. The exception's fields are set by a failed attempt (RETRY, FAILED)."""

    status: InvocationStatus
    timestamp: datetime
    runner_id: str | None
    attempt: int
    entry_id: str
    exception_type: str | None = None
    exception_message: str | None = None
    traceback: str | None = None


class InvocationRecord(Record, frozen=True, kw_only=True):
    """A task call and all that became of it.

    `result` is set after SUCCESS; the exception's fields tell of the newest failed attempt. `statuses`: every status,
    oldest first. `trigger_run_id`: the run that started it; `parent_invocation_id`: the invocation that called it;
    `rerun_of`: the invocation that it repeats. `registered_at` and `queue` are None where retention has removed the
    registration. `not_before`: when a waiting one may start, None for now.
    """

    invocation_id: str
    task_id: str
    queue: str | None
    arguments: Mapping[str, Any]
    status: InvocationStatus
    attempt: int
    recoveries: int
    runner_id: str | None
    result: Any
    exception_type: str | None
    exception_message: str | None
    traceback: str | None
    registered_at: datetime | None
    changed_at: datetime
    not_before: datetime | None
    statuses: tuple[StatusRecord, ...]
    trigger_run_id: str | None
    trigger_id: str | None
    parent_invocation_id: str | None
    rerun_of: str | None
    depth: int
    position: int


class FilterRecord(Record, frozen=True, kw_only=True):
    """A filter of a condition. `value` for mapping and equality filters, `name` for functions."""

    of: Literal["payload", "arguments", "result"]
    kind: Literal["mapping", "equals", "callable"]
    value: Any = None
    name: str | None = None


class ConditionRecord(Record, frozen=True, kw_only=True):
    """A declared condition; fields that its kind does not have are None or empty. `catch_up_window`: seconds."""

    condition_id: str
    kind: Literal["cron", "event", "status", "result", "any-result", "exception"]
    filters: tuple[FilterRecord, ...] = ()
    event_code: str | None = None
    task_id: str | None = None
    statuses: tuple[InvocationStatus, ...] = ()
    exception_types: tuple[str, ...] = ()
    expression: str | None = None
    timezone: str | None = None
    catch_up: str | None = None
    catch_up_window: float | None = None


class ProviderRecord(Record, frozen=True, kw_only=True):
    """Where arguments come from: fixed (`value`), or the function `name` that gets the context `context`."""

    context: str
    name: str | None = None
    value: Any = None


class TriggerRecord(Record, frozen=True, kw_only=True):
    """A declared trigger, in force or not any more.

    `state_since`: when it came into its state. `runs` and `rejected` count since it was declared, over what retention
    removed too. Of an AND of several conditions in force: `waiting`: how many contributions each has that have not
    fired yet; `missing`: the conditions that have none; `partial`: how many more each has of invocations that have not
    met all conditions on their task.
    """

    trigger_id: str
    slot: str
    task_id: str
    logic: Literal["and", "or"]
    queue: str
    conditions: tuple[ConditionRecord, ...]
    providers: tuple[ProviderRecord, ...]
    declared_at: datetime
    state: TriggerState
    state_since: datetime
    runs: int
    rejected: int
    last_fired: datetime | None
    last_run_id: str | None
    waiting: Mapping[str, int]
    missing: tuple[str, ...]
    partial: Mapping[str, int]
    position: int


class FunctionRecord(Record, frozen=True, kw_only=True):
    """A filter or provider as one runner has called it. `mean`, `longest`: seconds."""

    name: str
    calls: int
    mean: float
    longest: float


class RunnerRecord(Record, frozen=True, kw_only=True):
    """A runner as the backend knows it. `leads`: it was elected last. `holding`: invocations that it works on.

    `functions`: the filters and providers that took it longest on average, the slowest first.
    """

    runner_id: str
    host: str
    pid: int
    started_at: datetime
    last_seen: datetime
    alive: bool
    leads: bool
    version: str
    tasks: tuple[str, ...]
    trigger_ids: tuple[str, ...]
    queues: tuple[str, ...]
    concurrency: int
    holding: tuple[str, ...]
    functions: tuple[FunctionRecord, ...] = ()


class VoidRecord(Record, frozen=True, kw_only=True):
    """An entry that counts for nothing. `kind`: the entry's name; `facts`: its fields."""

    entry_id: str
    kind: str
    timestamp: datetime
    reason: str
    facts: Mapping[str, Any]
    position: int


class NoticeRecord(Record, frozen=True, kw_only=True):
    """Something that a leader noted: an election, a declaration, a suspension, a failed filter, an ended chain.

    `kind`: the entry's name. `subject_id`: the entry that a filter failed on or at which a chain ended.
    """

    entry_id: str
    kind: str
    timestamp: datetime
    text: str
    trigger_id: str | None
    condition_id: str | None
    subject_id: str | None
    position: int


class FamilyMember(Record, frozen=True, kw_only=True):
    """A relative of an invocation. `generation`: below 0 for ancestors, above 0 for descendants."""

    invocation_id: str
    task_id: str
    status: InvocationStatus
    registered_at: datetime | None
    generation: int


class FamilyLink(Record, frozen=True, kw_only=True):
    """Why one invocation led to another: it called it, reran it, or a status or event of it took part in a run."""

    source_invocation_id: str
    invocation_id: str
    relation: Relation
    run_id: str | None = None
    entry_id: str | None = None


class Family(Record, frozen=True, kw_only=True):
    """The ancestors and descendants of an invocation, itself included. `complete`: no limit cut it."""

    invocation_id: str
    members: tuple[FamilyMember, ...]
    links: tuple[FamilyLink, ...]
    complete: bool


class ActivityRecord(Record, frozen=True, kw_only=True):
    """How many entries of each kind were written in `step` seconds from `start` on."""

    start: datetime
    step: int
    counts: Mapping[str, int]


class OverviewRecord(Record, frozen=True, kw_only=True):
    """The whole in numbers.

    `matched` counts events that met a condition, the triggered among them; `trigger_runs` the rejected among them.
    `judged_upto`: the position up to which leaders have judged; `position`: where the log ended.
    """

    log_id: str
    position: int
    judged_upto: int
    leader_id: str | None
    leader_since: datetime | None
    events: int
    matched: int
    triggered: int
    trigger_runs: int
    rejected: int
    invocations: Mapping[InvocationStatus, int]
    triggers: Mapping[TriggerState, int]
    void: int
