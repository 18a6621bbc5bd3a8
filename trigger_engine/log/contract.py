"""The backend contract. A backend is one `EventLog` and one `Backend` that opens it; each docstring is a promise.

Validity. An entry is void, for every reader alike, when
- a valid entry with its id stands before it (what is void is dropped first: a former leader's void run and its
  successor's valid one share their derived id);
- it has a `term` that is not the position of the newest `LeaderElected` of that name before it;
- it is a `Judged` up to a position that is not before it: its leader has read what a restored older log has not;
- it is a status entry that `core.lifecycle.move` does not allow after what precedes it, or its invocation is unknown.
A log that can decides this at append (`refuses_void` is true); another stores the entry and every fold drops it.

Ambiguity. A call that raised BackendUnavailable, or was cancelled, may have taken effect, or may still take effect
later, even behind later appends (only NothingStored says that it has none). So a writer has one append under way,
resends it unchanged before anything newer, and never lets a caller's cancellation reach the driver (`GroupCommit` does
both). A log whose server stores a resent append twice numbers its writers' appends and drops what is not above the
highest number seen; those numbers are part of a checkpoint.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Sequence
from types import TracebackType
from typing import Any, ClassVar, Literal, Self

import msgspec

from trigger_engine.core.lifecycle import InvocationState
from trigger_engine.entries.facts import AnyEntry, InvocationRegistered, Position, TriggerFired

Clock = Callable[[], float]
"""Seconds since 1970 UTC."""

Part = tuple[AnyEntry, ...]
"""Entries that are accepted or refused together: free entries (events, registrations), or entries of one term, or one
status entry. Never mixed, so that refusing the part and dropping its void entries one by one come to the same."""


class Bookmark(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A place in one log. `entry_id` is that of the entry at `position`, so that a restored log is noticed."""

    log_id: str
    position: Position
    entry_id: str = ""


class Accepted(msgspec.Struct, frozen=True, gc=False):
    """The part is durable; each of its entries stands at or after `position`.

    A log that can tell gives the first entry's place exactly; one whose server confirms without a place gives a bound.
    An entry whose id was already present was skipped; `position` is then at or before the one that counts. Where
    `refuses_void` is false the part may still turn out to be void: only reading it back says so.
    """

    position: Position


class Refused(msgspec.Struct, frozen=True, gc=False):
    """The part would be void; nothing of it is stored. `reason` is for people."""

    reason: str


Outcome = Accepted | Refused


class Batch(msgspec.Struct, frozen=True):
    """Consecutive entries; `bookmark` is where to read on, and may be ahead of the last entry. Empty when nothing came.

    Where `refuses_void` is false they may hold void entries, never an append that was stored twice.
    """

    entries: list[tuple[Position, AnyEntry]]
    bookmark: Bookmark


class Invocation(msgspec.Struct, frozen=True, gc=False):
    """An invocation as the store knows it.

    `registration` is the entry that created it; `latest` the newest status entry or the registration itself.
    """

    registration: InvocationRegistered | TriggerFired
    registered_at: Position
    state: InvocationState
    latest: AnyEntry


class Claims(msgspec.Struct, frozen=True):
    """What a claim brings.

    `started`: newly claimed, each with its `Started` (or `Claimed`) entry as `latest`, already in the log.
    `stranded`: held by this runner in the store but not named in `holding` (a lost reply); run them, unless the runner
    has settled them since it asked, for answers may overtake one another.
    `revoked`: claim ids of `holding` that the store does not give to this runner (cancelled or recovered); stop those
    whose start had been acknowledged when `holding` was read.
    `unknown`: tasks outside `tasks` for which due work waits in these queues (may be empty beside work to give).
    """

    started: list[Invocation] = []
    stranded: list[Invocation] = []
    revoked: frozenset[str] = frozenset()
    unknown: frozenset[str] = frozenset()


class FunctionTiming(msgspec.Struct, frozen=True, array_like=True):
    """How long a filter or provider took in one runner. `seconds`: of all calls together; `longest`: of one."""

    name: str
    calls: int
    seconds: float
    longest: float


class RunnerFacts(msgspec.Struct, frozen=True, array_like=True):
    """What a runner says of itself with each heartbeat. `triggers`: (slot, trigger id). Times: seconds since 1970.

    `functions`: the slowest that it has called while it led.
    """

    runner_id: str
    host: str
    pid: int
    started_at: float
    code_time: float
    version: str
    tasks: tuple[str, ...]
    triggers: tuple[tuple[str, str], ...]
    queues: tuple[str, ...]
    concurrency: int
    functions: tuple[FunctionTiming, ...] = ()


class RunnerRow(msgspec.Struct, frozen=True):
    """A runner as the store knows it. `alive`: its heartbeat has not expired by the store's clock."""

    facts: RunnerFacts
    last_seen: float
    alive: bool


class Checkpoint(msgspec.Struct, frozen=True):
    """A fold's state after everything up to `bookmark`, written by the leader of `term`."""

    term: Position
    bookmark: Bookmark
    data: bytes


class Check(msgspec.Struct, frozen=True):
    """What a backend finds of the system that it runs on. `mend`: what to do, None when all is well."""

    level: Literal["ok", "warning", "failed"]
    text: str
    mend: str | None = None


class EventLog(ABC):
    """One app's log and run queue, opened for one event loop.

    Every method may raise BackendUnavailable; after it the effect of an append, claim or lease call is unknown and the
    same call may be made again: entry ids make an append repeatable, `stranded` makes a claim repeatable. Cancelling a
    call never leaves the log unusable; the cancelled call may still take effect.
    """

    log_id: str
    refuses_void: ClassVar[bool]
    """True when void parts are refused at append; else they are stored and dropped by every fold."""
    refuses_stale: ClassVar[bool] = False
    """True when all are refused but status entries: what is void by its term, or by an id that is there already."""
    dense_positions: ClassVar[bool] = False
    """True when each entry stands right behind the one before it, so that a gap means a loss."""
    resends: ClassVar[bool] = False
    """True when a call itself goes on trying until its effect is known, so that its callers need not ask again."""

    @property
    def tells_stale(self) -> bool:
        """True where no void entry of a leader is stored."""
        return self.refuses_void or self.refuses_stale

    @abstractmethod
    async def append(self, parts: Sequence[Part]) -> list[Outcome]:
        """One durable atomic write; each part is accepted or refused alone, in order, and later ones see earlier ones.

        In the same step registrations enter the run queue and status entries move it (or a projection follows, in which
        a row changes only for a higher position). Raises SerializationError before anything is stored.
        """

    @abstractmethod
    async def follow(self, after: Bookmark, *, limit: int = 1000, wait: float = 0.0) -> Batch:
        """The next entries after a bookmark, at most `limit`; waits up to `wait` seconds when there are none.

        Never a gap, never an entry that becomes visible behind one already given out. Wakes within milliseconds of an
        append, by this or another process; a log that has to wait for a writer that died between taking a place and
        filling it may stall for a bounded time. Raises LogReplaced when the bookmark is not of this log (or of a state
        that it has lost), LogTrimmed when entries after it are gone.
        """

    @abstractmethod
    async def tail(self) -> Bookmark:
        """Where the log ends now: every append that had returned before this call is at or before it.

        It is the highest place that can be read, never one that is only reserved.
        """

    @abstractmethod
    async def start(self) -> Bookmark:
        """The first place that can be followed: before the first entry that is still there."""

    @abstractmethod
    async def claim(
        self,
        runner_id: str,
        *,
        tasks: Collection[str],
        queues: Collection[str],
        holding: Collection[str],
        limit: int,
        wait: float = 0.0,
    ) -> Claims:
        """Takes up to `limit` due invocations of known tasks, oldest first, and appends their start.

        `queues`: empty for all of them. `holding` are the claim ids that the runner works on, read anew at every look
        while waiting (it may be a live view). Due: `not_before` reached by the store's clock. Waits up to `wait`
        seconds while there is nothing to report. What one runner is given no other is, until it is recovered, handed
        back or retried. Only certain claims are returned: a log that decides them by the fold reads its own entry back
        first.
        """

    @abstractmethod
    async def heartbeat(self, facts: RunnerFacts, *, ttl: float) -> None:
        """Writes the runner's one row; without another heartbeat within `ttl` seconds it counts as lost."""

    @abstractmethod
    async def leave(self, runner_id: str) -> None:
        """Removes the runner's row: it stopped by itself."""

    @abstractmethod
    async def runners(self) -> list[RunnerRow]:
        """Every runner whose row is kept, lost ones too until they have been lost for a day."""

    @abstractmethod
    async def orphans(self, *, limit: int = 1000) -> list[Invocation]:
        """Invocations PENDING or RUNNING whose runner has no live heartbeat."""

    @abstractmethod
    async def acquire(self, name: str, owner: str, *, ttl: float) -> bool:
        """Takes or keeps the named lease; an expired lease counts as free. False while another owner has it.

        A lease decides who tries to lead, not whose appends count: that is the term's, so a lease may expire early or
        be believed too long. Keeping it does not start a new term.
        """

    @abstractmethod
    async def release(self, name: str, owner: str) -> None:
        """Frees the lease if this owner has it."""

    @abstractmethod
    async def save_checkpoint(self, name: str, checkpoint: Checkpoint) -> bool:
        """Keeps a checkpoint and the one before it. False when its term is not current or its position not higher.

        The caller saves only what follows from judgements that it has read back as valid, so that any checkpoint is a
        right fold and the highest position may win where a log cannot check the term. Of any size: a log splits it.
        """

    @abstractmethod
    async def load_checkpoint(self, name: str) -> Checkpoint | None:
        """The newest checkpoint of this log, None when there is none."""

    @abstractmethod
    async def invocation(self, invocation_id: str) -> Invocation | None:
        """One invocation, open or ended, until its entries are trimmed."""

    @abstractmethod
    async def trim(self, before: Bookmark, *, keys_before: float, limit: int = 10_000) -> int:
        """Removes up to `limit` entries before a bookmark, and returns how many went (0: done).

        Open invocations stay claimable whatever is trimmed. Ids of keyed entries, and of ticks, stay refused until
        `keys_before` (seconds since 1970). Never raises the tail, never lowers it, never reuses a position. It is a
        permission: a log that can only drop whole segments may remove less, or nothing.
        """

    @abstractmethod
    async def clear(self) -> None:
        """Empties the app: entries, queue, keys, checkpoints, leases. The log gets a new identity."""

    @abstractmethod
    async def close(self) -> None:
        """Releases everything that this object opened; twice is harmless."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        await self.close()


class Backend(ABC):
    """What an entry point of the group `trigger_engine.backends` names: a way to open a log."""

    name: ClassVar[str]
    """The value of `trigger_cls` that selects it."""
    family: ClassVar[str]
    """What the names of one system's components begin with, such as "SQLite" or "Mem"."""
    section: ClassVar[str]
    """The configuration section with its settings."""
    settings_type: ClassVar[type[msgspec.Struct]]
    """A Struct with a default for every key."""
    path_keys: ClassVar[tuple[str, ...]] = ()
    """Settings that are paths, resolved against the file in which they stand."""
    shared_between_processes: ClassVar[bool] = True
    needs_app_id: ClassVar[bool] = False
    """True where the store is shared by several apps, so that a guessed app id would be dangerous."""

    def __init__(self, settings: Any, *, app_id: str) -> None:
        self.settings = settings
        self.app_id = app_id

    @abstractmethod
    def location(self) -> str:
        """The absolute place of the data, for people, without secrets."""

    @abstractmethod
    async def open(self, *, clock: Clock) -> EventLog:
        """Opens the log for the running event loop. Raises BackendUnavailable, ConfigError."""

    async def check(self) -> list[Check]:
        """What keeps the promises of this backend from being kept, for `doctor`; changes nothing.

        Raises BackendUnavailable, ConfigError.
        """
        return []
