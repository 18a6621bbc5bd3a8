"""Every fact that a log may hold.

Field order is the encoding (arrays): fields are only ever added at the end of a concrete entry, with a default.
Times are seconds since 1970 UTC by the writer's clock, for display and never for order. `Raw` fields hold msgpack.
"""

from __future__ import annotations

import msgspec

from trigger_engine.entries.definitions import TriggerDefinition

Position = int
"""Where an entry stands in its log: ordered, opaque, starting above 0; 0 is before the first entry."""

EMPTY_MAP = msgspec.Raw(b"\x80")


class Entry(msgspec.Struct, frozen=True, kw_only=True, array_like=True, tag_field="kind", gc=False):
    """One fact. `cause`: id of the entry that led to it; `depth`: how many triggers lie behind it."""

    id: str
    time: float
    cause: str | None = None
    depth: int = 0


class EventEmitted(Entry, frozen=True, kw_only=True, tag="event"):
    """A user event; its entry id is the event id. `keyed`: the id comes from an idempotency key or a task's run."""

    event_code: str
    payload: msgspec.Raw
    emitter_task_id: str | None = None
    emitter_invocation_id: str | None = None
    keyed: bool = False


class CronTicked(Entry, frozen=True, kw_only=True, tag="tick"):
    """A scheduled time has come; its id is `<condition id>@<scheduled time>`. Written by the leader of `term`."""

    term: Position
    condition_id: str
    scheduled_for: float
    last_execution: float | None = None


class InvocationEntry(Entry, frozen=True, kw_only=True):
    """A fact about one invocation, complete enough to be judged without what came before."""

    invocation_id: str
    task_id: str
    arguments: msgspec.Raw


class InvocationRegistered(InvocationEntry, frozen=True, kw_only=True, tag="registered"):
    """A task call; its entry id is the invocation id. `not_before`: when it may start, None for now."""

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
    """A trigger run, and by itself the registration of its invocation; its entry id is the run id.

    `dropped`: contributions that the cap left out of `participants`.
    """

    term: Position
    trigger_id: str
    slot: str
    participants: tuple[Participant, ...]
    queue: str = "default"
    dropped: int = 0


class TriggerRejected(Entry, frozen=True, kw_only=True, tag="rejected"):
    """A trigger run whose arguments could not be made: nothing is started; its entry id is the run id."""

    term: Position
    trigger_id: str
    slot: str
    task_id: str
    participants: tuple[Participant, ...]
    error: str
    dropped: int = 0


class StatusEntry(InvocationEntry, frozen=True, kw_only=True):
    """A move of one invocation. `attempt` counts from 1; `claim_id` is the fencing token of who runs it."""

    attempt: int
    claim_id: str
    runner_id: str | None


class Claimed(StatusEntry, frozen=True, kw_only=True, tag="claimed"):
    """To PENDING: a runner has taken it and will start it."""


class Started(StatusEntry, frozen=True, kw_only=True, tag="started"):
    """To RUNNING; from REGISTERED or RETRY this one entry stands for PENDING and RUNNING."""


class Succeeded(StatusEntry, frozen=True, kw_only=True, tag="succeeded"):
    """To SUCCESS. `result`: msgpack."""

    result: msgspec.Raw


class ExceptionFacts(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """An exception without its object. `type`: class name; `bases`: names of all its base classes, nearest first."""

    type: str
    message: str
    bases: tuple[str, ...] = ()
    traceback: str = ""


class Failed(StatusEntry, frozen=True, kw_only=True, tag="failed"):
    """To FAILED: no attempt is left."""

    exception: ExceptionFacts


class Retried(StatusEntry, frozen=True, kw_only=True, tag="retried"):
    """To RETRY: the attempt failed and another may start at `not_before`."""

    exception: ExceptionFacts
    not_before: float


class Cancelled(StatusEntry, frozen=True, kw_only=True, tag="cancelled"):
    """To CANCELLED, from any open status; `claim_id` is this cancel's own, or empty."""


class Recovered(StatusEntry, frozen=True, kw_only=True, tag="recovered"):
    """Back to REGISTERED because its runner was lost; counted against `max_recoveries`."""


class HandedBack(StatusEntry, frozen=True, kw_only=True, tag="handed-back"):
    """Back to REGISTERED by a runner that stops gracefully; not counted."""


class LeaderElected(Entry, frozen=True, kw_only=True, tag="elected"):
    """A leader's first append; the position of this entry is its term."""

    name: str
    runner_id: str


class TriggersDeclared(Entry, frozen=True, kw_only=True, tag="declared"):
    """Triggers that come into force, each replacing what stood in its slot.

    `from_start`: the first declaration of the log; it reaches back to the log's start.
    """

    term: Position
    triggers: tuple[TriggerDefinition, ...]
    from_start: bool = False


class TriggerSuspended(Entry, frozen=True, kw_only=True, tag="suspended"):
    """No live runner has this trigger's code; it judges nothing until `TriggerResumed`."""

    term: Position
    trigger_id: str
    slot: str


class TriggerResumed(Entry, frozen=True, kw_only=True, tag="resumed"):
    """A live runner has the trigger's code again; it judges the entries after this one."""

    term: Position
    trigger_id: str
    slot: str


class TriggerRetired(Entry, frozen=True, kw_only=True, tag="retired"):
    """No live runner had the trigger for `retire_after`; it is no longer in force."""

    term: Position
    trigger_id: str
    slot: str


class ContributionKept(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """An entry met a condition of an AND that still waits for others."""

    trigger_id: str
    condition_id: str
    entry_id: str


class Judged(Entry, frozen=True, kw_only=True, tag="judged"):
    """Everything up to `upto` is judged; what is not recorded up to there was not met."""

    term: Position
    upto: Position
    kept: tuple[ContributionKept, ...] = ()


class FilterFailed(Entry, frozen=True, kw_only=True, tag="filter-failed"):
    """A filter raised or was too slow on `entry_id`: it counts as not met. `filter`: its function's name."""

    term: Position
    condition_id: str
    entry_id: str
    filter: str
    error: str


class ChainEnded(Entry, frozen=True, kw_only=True, tag="chain-ended"):
    """A trigger would have fired beyond `max_chain_length`; the chain ends here."""

    term: Position
    trigger_id: str
    slot: str
    entry_id: str


class BacklogExceeded(Entry, frozen=True, kw_only=True, tag="backlog"):
    """More invocations wait than `max_backlog`."""

    term: Position
    waiting: int
    limit: int


class RetentionApplied(Entry, frozen=True, kw_only=True, tag="retention"):
    """Entries before `before` may be gone, and so may keys used before `keys_before` (seconds since 1970)."""

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
