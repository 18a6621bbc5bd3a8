"""The results of history queries: frozen records and pages of records.

Times are aware UTC datetimes from the writer's clock, in microseconds. Values (payloads, arguments, results) are
msgpack builtins. `position` is the log position of a record's first entry; records are ordered by it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, Literal, TypeVar, overload

import msgspec

from trigger_engine._engine.lifecycle import InvocationStatus

T_co = TypeVar("T_co", covariant=True)
Kind = Literal["event", "status", "result", "exception", "cron", "unknown"]
TriggerState = Literal["active", "suspended", "retired", "replaced"]
Relation = Literal["called", "triggered", "rerun"]


@dataclass(frozen=True, slots=True)
class Page(Sequence[T_co], Generic[T_co]):
    """A page of records, newest first. `next_cursor`: the `cursor` of the next page; None on the last page."""

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


class HistoryRecord(msgspec.Struct, frozen=True, kw_only=True):
    """Base of the read model's records."""


class EventRecord(HistoryRecord, frozen=True, kw_only=True):
    """An event.

    `valid_condition_ids`: conditions that listened to its code, of active triggers at its position.
    `matched_condition_ids`: conditions whose filter it passed. `trigger_run_ids`: the runs, including rejected ones,
    in which it took part. `invocation_ids`: invocations that these runs started. `matched`, `triggered`: whether it
    met a condition and whether it started something, including what retention has removed. `depth`: the number of
    triggers in the chain that led to it.
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


class ParticipantRecord(HistoryRecord, frozen=True, kw_only=True):
    """A condition of a trigger and the entry that met it.

    `kind` determines which other fields are set: `event_code` and the emitter's `invocation_id` for an event,
    `invocation_id` and `status` for a status of an invocation, `scheduled_for` for a cron tick. They and `timestamp`
    are None if retention has removed the entry.
    """

    condition_id: str
    kind: Kind
    entry_id: str
    timestamp: datetime | None
    event_code: str | None = None
    invocation_id: str | None = None
    status: InvocationStatus | None = None
    scheduled_for: datetime | None = None


class TriggerRunRecord(HistoryRecord, frozen=True, kw_only=True):
    """A run of a trigger. `error` is set if it was rejected: building its arguments failed and nothing was started.

    `participants`: at least one for each condition that was met, oldest first. `dropped`: how many contributions
    exceeded the limit. `logic`: None if retention has removed the trigger's declaration.
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


class StatusRecord(HistoryRecord, frozen=True, kw_only=True):
    """A status that an invocation reached. The exception fields are set for a failed attempt (RETRY, FAILED)."""

    status: InvocationStatus
    timestamp: datetime
    runner_id: str | None
    attempt: int
    entry_id: str
    exception_type: str | None = None
    exception_message: str | None = None
    traceback: str | None = None


class InvocationRecord(HistoryRecord, frozen=True, kw_only=True):
    """A task call and its outcome.

    `result` is set after SUCCESS; the exception fields describe the latest failed attempt. `statuses`: every status,
    oldest first. `trigger_run_id`: the run that started it; `parent_invocation_id`: the invocation that called it;
    `rerun_of`: the invocation that it repeats. `registered_at` and `queue` are None if retention has removed the
    registration. `not_before`: the earliest start of a waiting invocation; None if it may start now.
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


class FilterRecord(HistoryRecord, frozen=True, kw_only=True):
    """A filter of a condition. `value` for mapping and equality filters, `name` for functions."""

    of: Literal["payload", "arguments", "result"]
    kind: Literal["mapping", "equals", "callable"]
    value: Any = None
    name: str | None = None


class ConditionRecord(HistoryRecord, frozen=True, kw_only=True):
    """A declared condition. Fields that do not apply to its kind are None or empty. `catch_up_window`: seconds."""

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


class ProviderRecord(HistoryRecord, frozen=True, kw_only=True):
    """A source of arguments: a fixed `value`, or the function `name`, which is called with the context `context`."""

    context: str
    name: str | None = None
    value: Any = None


class TriggerRecord(HistoryRecord, frozen=True, kw_only=True):
    """A declared trigger, possibly no longer active.

    `state_since`: when it entered its state. `runs`, `rejected`: counts since it was declared, including what
    retention has removed. For an AND of several conditions: `waiting`, the number of contributions to each condition
    that have not fired yet; `missing`, the conditions without any; `partial`, the number of further contributions from
    invocations that have not met all conditions on their task.
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


class FunctionRecord(HistoryRecord, frozen=True, kw_only=True):
    """Statistics of one runner's calls of a filter or provider. `mean`, `longest`: seconds."""

    name: str
    calls: int
    mean: float
    longest: float


class RunnerRecord(HistoryRecord, frozen=True, kw_only=True):
    """A runner as known to the backend. `leads`: it won the latest election. `holding`: invocations it is working on.

    `functions`: its slowest filters and providers on average, slowest first.
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


class VoidRecord(HistoryRecord, frozen=True, kw_only=True):
    """A void entry. `kind`: the entry's name; `facts`: its fields."""

    entry_id: str
    kind: str
    timestamp: datetime
    reason: str
    facts: Mapping[str, Any]
    position: int


class NoticeRecord(HistoryRecord, frozen=True, kw_only=True):
    """A notice of a leader: an election, a declaration, a suspension, a failed filter, an ended chain and so on.

    `kind`: the entry's name. `subject_id`: the entry on which a filter failed or at which a chain ended.
    """

    entry_id: str
    kind: str
    timestamp: datetime
    text: str
    trigger_id: str | None
    condition_id: str | None
    subject_id: str | None
    position: int


class FamilyMember(HistoryRecord, frozen=True, kw_only=True):
    """A relative of an invocation. `generation`: below 0 for ancestors, above 0 for descendants."""

    invocation_id: str
    task_id: str
    status: InvocationStatus
    registered_at: datetime | None
    generation: int


class FamilyLink(HistoryRecord, frozen=True, kw_only=True):
    """How one invocation led to another: by a call, by a rerun, or by a status or event that took part in a run."""

    source_invocation_id: str
    invocation_id: str
    relation: Relation
    run_id: str | None = None
    entry_id: str | None = None


class Family(HistoryRecord, frozen=True, kw_only=True):
    """An invocation with its ancestors and descendants. `complete`: the limit was not reached."""

    invocation_id: str
    members: tuple[FamilyMember, ...]
    links: tuple[FamilyLink, ...]
    complete: bool


class ActivityRecord(HistoryRecord, frozen=True, kw_only=True):
    """The number of entries of each kind written in the `step` seconds from `start`."""

    start: datetime
    step: int
    counts: Mapping[str, int]


class OverviewRecord(HistoryRecord, frozen=True, kw_only=True):
    """Counts over the whole read model.

    `matched`: events that met a condition, including the triggered ones. `trigger_runs`: includes the rejected ones.
    `evaluated_upto`: the position up to which leaders have evaluated. `position`: the end of the log.
    """

    log_id: str
    position: int
    evaluated_upto: int
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
