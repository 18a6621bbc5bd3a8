"""The entry types of a log.

Entries are encoded as arrays, so the field order is the format: new fields are only added at the end of a concrete
entry, with a default. Times are seconds since 1970 (UTC) by the writer's clock; they are for display, never for order.
`Raw` fields hold msgpack.
"""

from __future__ import annotations

import msgspec

from trigger_engine._model.definitions import TriggerDefinition

Position = int
"""The place of an entry in its log: ordered and opaque. Positions start above 0; 0 is before the first entry."""

EMPTY_MAP = msgspec.Raw(b"\x80")


class Entry(msgspec.Struct, frozen=True, kw_only=True, array_like=True, tag_field="kind", gc=False):
    """One fact. `cause`: id of the entry that led to it; `depth`: number of triggers in the chain before it."""

    id: str
    time: float
    cause: str | None = None
    depth: int = 0


class EventEmitted(Entry, frozen=True, kw_only=True, tag="event"):
    """A user event; the entry id is the event id.

    `keyed`: the id is derived from an idempotency key, or from the task run that emitted the event.
    """

    event_code: str
    payload: msgspec.Raw
    emitter_task_id: str | None = None
    emitter_invocation_id: str | None = None
    keyed: bool = False


class CronTicked(Entry, frozen=True, kw_only=True, tag="tick"):
    """A scheduled time was reached; the entry id is `<condition id>@<scheduled time>`. Written by the leader."""

    term: Position
    condition_id: str
    scheduled_for: float
    last_execution: float | None = None


class InvocationEntry(Entry, frozen=True, kw_only=True):
    """A fact about one invocation. It can be evaluated without earlier entries."""

    invocation_id: str
    task_id: str
    arguments: msgspec.Raw


class InvocationRegistered(InvocationEntry, frozen=True, kw_only=True, tag="registered"):
    """A task call; the entry id is the invocation id. `not_before`: when it may start, None for now."""

    queue: str = "default"
    not_before: float | None = None
    keyed: bool = False
    rerun_of: str | None = None
    parent_invocation_id: str | None = None


class Participant(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A condition and the entry that satisfied it, as part of a trigger run."""

    condition_id: str
    entry_id: str


class TriggerFired(InvocationEntry, frozen=True, kw_only=True, tag="fired"):
    """A trigger run, which also registers its invocation; the entry id is the run id.

    `dropped`: number of contributions that the limits left out of `participants`.
    """

    term: Position
    trigger_id: str
    slot: str
    participants: tuple[Participant, ...]
    queue: str = "default"
    dropped: int = 0


class TriggerRejected(Entry, frozen=True, kw_only=True, tag="rejected"):
    """A trigger run whose arguments could not be built, so nothing was started; the entry id is the run id."""

    term: Position
    trigger_id: str
    slot: str
    task_id: str
    participants: tuple[Participant, ...]
    error: str
    dropped: int = 0


class StatusEntry(InvocationEntry, frozen=True, kw_only=True):
    """A status change of one invocation. `attempt` counts from 1; `claim_id` is the fencing token of the claim."""

    attempt: int
    claim_id: str
    runner_id: str | None


class Claimed(StatusEntry, frozen=True, kw_only=True, tag="claimed"):
    """To PENDING: a runner claimed it and will start it."""


class Started(StatusEntry, frozen=True, kw_only=True, tag="started"):
    """To RUNNING. From REGISTERED or RETRY, this one entry stands for both PENDING and RUNNING."""


class Succeeded(StatusEntry, frozen=True, kw_only=True, tag="succeeded"):
    """To SUCCESS. `result`: msgpack."""

    result: msgspec.Raw


class ExceptionFacts(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """The description of an exception. `type`: class name; `bases`: names of all base classes, nearest first."""

    type: str
    message: str
    bases: tuple[str, ...] = ()
    traceback: str = ""


class Failed(StatusEntry, frozen=True, kw_only=True, tag="failed"):
    """To FAILED: no attempts are left."""

    exception: ExceptionFacts


class Retried(StatusEntry, frozen=True, kw_only=True, tag="retried"):
    """To RETRY: the attempt failed and another may start at `not_before`."""

    exception: ExceptionFacts
    not_before: float


class Cancelled(StatusEntry, frozen=True, kw_only=True, tag="cancelled"):
    """To CANCELLED, from any open status. `claim_id` is a token of this cancellation, or empty."""


class Recovered(StatusEntry, frozen=True, kw_only=True, tag="recovered"):
    """Back to REGISTERED because the runner was lost. Counts towards `max_recoveries`."""


class HandedBack(StatusEntry, frozen=True, kw_only=True, tag="handed-back"):
    """Back to REGISTERED by a runner that shuts down. Does not count towards `max_recoveries`."""


class LeaderElected(Entry, frozen=True, kw_only=True, tag="elected"):
    """The first entry of a leader; its position is the term."""

    name: str
    runner_id: str


class TriggersDeclared(Entry, frozen=True, kw_only=True, tag="declared"):
    """Triggers that become active. Each replaces the trigger in its slot.

    `from_start`: this is the first declaration of the log; it also covers the entries before it.
    """

    term: Position
    triggers: tuple[TriggerDefinition, ...]
    from_start: bool = False


class TriggerSuspended(Entry, frozen=True, kw_only=True, tag="suspended"):
    """No live runner has the trigger's code. The trigger is not evaluated until `TriggerResumed`."""

    term: Position
    trigger_id: str
    slot: str


class TriggerResumed(Entry, frozen=True, kw_only=True, tag="resumed"):
    """A live runner has the trigger's code again. The trigger is evaluated for the entries after this one."""

    term: Position
    trigger_id: str
    slot: str


class TriggerRetired(Entry, frozen=True, kw_only=True, tag="retired"):
    """No live runner had the trigger for `retire_after`. The trigger is no longer active."""

    term: Position
    trigger_id: str
    slot: str


class ContributionKept(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """An entry met a condition of an AND trigger that still waits for other conditions."""

    trigger_id: str
    condition_id: str
    entry_id: str


class Judged(Entry, frozen=True, kw_only=True, tag="judged"):
    """All entries up to `upto` are evaluated. Conditions without a record up to there were not met."""

    term: Position
    upto: Position
    kept: tuple[ContributionKept, ...] = ()


class FilterFailed(Entry, frozen=True, kw_only=True, tag="filter-failed"):
    """A filter raised or timed out on `entry_id`, which counts as not met. `filter`: the name of its function."""

    term: Position
    condition_id: str
    entry_id: str
    filter: str
    error: str


class ChainEnded(Entry, frozen=True, kw_only=True, tag="chain-ended"):
    """A trigger did not fire because the chain would have exceeded `max_chain_length`."""

    term: Position
    trigger_id: str
    slot: str
    entry_id: str


class BacklogExceeded(Entry, frozen=True, kw_only=True, tag="backlog"):
    """More than `max_backlog` invocations are waiting."""

    term: Position
    waiting: int
    limit: int


class RetentionApplied(Entry, frozen=True, kw_only=True, tag="retention"):
    """Entries before `before`, and keys used before `keys_before` (seconds since 1970), may be gone."""

    before: Position
    keys_before: float


AnyEntry = (
    EventEmitted
    | CronTicked
    | InvocationRegistered
    | TriggerFired
    | TriggerRejected
    | Claimed
    | Started
    | Succeeded
    | Failed
    | Retried
    | Cancelled
    | Recovered
    | HandedBack
    | LeaderElected
    | TriggersDeclared
    | TriggerSuspended
    | TriggerResumed
    | TriggerRetired
    | Judged
    | FilterFailed
    | ChainEnded
    | BacklogExceeded
    | RetentionApplied
)
StatusMove = Claimed | Started | Succeeded | Failed | Retried | Cancelled | Recovered | HandedBack
LeaderEntry = (
    CronTicked
    | TriggerFired
    | TriggerRejected
    | TriggersDeclared
    | TriggerSuspended
    | TriggerResumed
    | TriggerRetired
    | Judged
    | FilterFailed
    | ChainEnded
    | BacklogExceeded
)
