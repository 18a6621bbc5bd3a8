"""The backend contract. A backend is one `EventLog` and one `Backend` that opens it; each docstring is a promise.

Validity. Every reader treats the same entries as void. An entry is void when
- a valid entry with the same id precedes it (void entries are dropped first: a former leader's void run and its
  successor's valid run share their derived id);
- it has a `term` that is not the position of the newest `LeaderElected` of that name before it;
- it is a `Judged` up to a position that is not before it: its leader read entries that a restored log has lost;
- it is a status entry that `move` does not allow after the entries before it, or its invocation is unknown.
A log that can check this refuses void entries at append (`refuses_void` is true); any other log stores them, and every
fold drops them.

Ambiguity. A call that raised BackendUnavailable, or was cancelled, may have taken effect, or may still take effect
later, even after later appends (only NothingStored rules that out). So a writer has one append in flight at a time,
resends it unchanged before anything newer, and never lets a caller's cancellation reach the driver (`GroupCommit` does
all three). A log whose server stores a resent append twice numbers the appends of each writer and drops those that are
not above the highest number seen; the numbers are part of its snapshots.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Sequence
from types import TracebackType
from typing import Any, ClassVar, Literal, Self

import msgspec

from trigger_engine._engine.lifecycle import InvocationState
from trigger_engine._model.entries import AnyEntry, InvocationRegistered, Position, TriggerFired

Clock = Callable[[], float]
"""Seconds since 1970 UTC."""

Part = tuple[AnyEntry, ...]
"""Entries that are accepted or refused together: free entries (events, registrations), or entries of one term, or one
status entry. Never mixed, so that refusing the part has the same effect as dropping its void entries one by one."""


class Cursor(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A place in one log. `entry_id` is the id of the entry at `position`; it reveals that a log was restored."""

    log_id: str
    position: Position
    entry_id: str = ""


class Accepted(msgspec.Struct, frozen=True, gc=False):
    """The part is durable; each of its entries is at or after `position`.

    A log that knows it gives the exact position of the first entry; a log whose server does not report it gives a
    lower bound. An entry whose id was already present was skipped; `position` is then at or before the valid one. Where
    `refuses_void` is false the part may still turn out to be void: only reading it back tells.
    """

    position: Position


class Refused(msgspec.Struct, frozen=True, gc=False):
    """The part would be void; nothing of it was stored. `reason` is for people."""

    reason: str


Outcome = Accepted | Refused


class Batch(msgspec.Struct, frozen=True):
    """Consecutive entries; `cursor` is where to read on, and may be ahead of the last entry.

    `entries` is empty when there were none. Where `refuses_void` is false it may include void entries, but never an
    append that was stored twice.
    """

    entries: list[tuple[Position, AnyEntry]]
    cursor: Cursor


class Invocation(msgspec.Struct, frozen=True, gc=False):
    """An invocation as the store knows it.

    `registration` is the entry that created it; `latest` is its newest status entry, or the registration itself.
    """

    registration: InvocationRegistered | TriggerFired
    registered_at: Position
    state: InvocationState
    latest: AnyEntry


class Claims(msgspec.Struct, frozen=True):
    """The result of a claim.

    `started`: newly claimed, each with its `Started` (or `Claimed`) entry as `latest`, already in the log.
    `stranded`: held by this runner in the store but not named in `holding` (a reply was lost); run them, unless the
    runner has settled them since it asked, because replies may overtake one another.
    `revoked`: claim ids of `holding` that this runner does not hold in the store (cancelled or recovered); stop those
    whose start had been acknowledged when `holding` was read.
    `unknown`: tasks outside `tasks` for which due work waits in these queues (may be empty if there is work to give).
    """

    started: list[Invocation] = []
    stranded: list[Invocation] = []
    revoked: frozenset[str] = frozenset()
    unknown: frozenset[str] = frozenset()


class FunctionTiming(msgspec.Struct, frozen=True, array_like=True):
    """How long a filter or provider took in one runner. `seconds`: all calls together; `longest`: the slowest call."""

    name: str
    calls: int
    seconds: float
    longest: float


class RunnerFacts(msgspec.Struct, frozen=True, array_like=True):
    """What a runner reports with each heartbeat. `triggers`: (slot, trigger id). Times: seconds since 1970 UTC.

    `functions`: the slowest filters and providers that it called while it was the leader.
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
    """A fold's state after everything up to `cursor`, written by the leader of `term`."""

    term: Position
    cursor: Cursor
    data: bytes


class Check(msgspec.Struct, frozen=True):
    """One finding about the system that a backend runs on. `fix`: what to do, None when all is well."""

    level: Literal["ok", "warning", "failed"]
    text: str
    fix: str | None = None


class EventLog(ABC):
    """One app's log and run queue, opened for one event loop.

    Every method may raise BackendUnavailable; the effect of an append, claim or lease call is then unknown, and the
    same call may be made again: entry ids make an append repeatable, `stranded` makes a claim repeatable. Cancelling a
    call never leaves the log unusable; the cancelled call may still take effect.
    """

    log_id: str
    refuses_void: ClassVar[bool]
    """True when void parts are refused at append; otherwise they are stored, and every fold drops them."""
    refuses_stale: ClassVar[bool] = False
    """True when void parts are refused unless they are status entries: an old term, or an id that is already there."""
    dense_positions: ClassVar[bool] = False
    """True when positions are consecutive, so that a gap means that entries were lost."""
    resends: ClassVar[bool] = False
    """True when each call retries until its effect is known, so that callers need not repeat it."""

    @property
    def tells_stale(self) -> bool:
        """True when the log never stores a void entry of a leader."""
        return self.refuses_void or self.refuses_stale

    @abstractmethod
    async def append(self, parts: Sequence[Part]) -> list[Outcome]:
        """One durable atomic write; each part is accepted or refused alone, in order; later parts see earlier ones.

        In the same step registrations enter the run queue and status entries update it (or a projection follows, in
        which only a higher position changes a row). Raises SerializationError before anything is stored.
        """

    @abstractmethod
    async def follow(self, after: Cursor, *, limit: int = 1000, wait: float = 0.0) -> Batch:
        """The next entries after a cursor, at most `limit`; waits up to `wait` seconds when there are none.

        There is never a gap, and no entry ever appears before one that was already returned. Wakes within milliseconds
        of an append by this or another process; a log that has to wait for a writer that died between reserving a
        position and filling it may stall for a bounded time. Raises LogReplaced when the cursor is not of this log (or
        of a state that the log has lost), LogTrimmed when entries after it were removed.
        """

    @abstractmethod
    async def tail(self) -> Cursor:
        """Where the log ends now: every append that returned before this call is at or before it.

        It is the highest position that can be read, never one that is only reserved.
        """

    @abstractmethod
    async def start(self) -> Cursor:
        """The first cursor that can be followed: before the first entry that was not trimmed."""

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
        """Claims up to `limit` due invocations of known tasks, oldest first, and appends their start.

        `queues`: empty for all queues. `holding`: the claim ids that the runner works on; it is read again at every
        attempt while waiting, so it may be a live view. An invocation is due when the store's clock reaches its
        `not_before`. Waits up to `wait` seconds while there is nothing to report. No two runners are given the same
        invocation until it is recovered, handed back or retried. Only certain claims are returned: a log that decides
        them by folding reads its own entry back first.
        """

    @abstractmethod
    async def heartbeat(self, facts: RunnerFacts, *, ttl: float) -> None:
        """Writes the runner's row; without another heartbeat within `ttl` seconds the runner counts as lost."""

    @abstractmethod
    async def leave(self, runner_id: str) -> None:
        """Removes the row of a runner that stopped cleanly."""

    @abstractmethod
    async def runners(self) -> list[RunnerRow]:
        """Every runner with a row; the row of a lost runner is kept for a day."""

    @abstractmethod
    async def orphans(self, *, limit: int = 1000) -> list[Invocation]:
        """PENDING or RUNNING invocations whose runner has no live heartbeat, oldest first."""

    @abstractmethod
    async def acquire(self, name: str, owner: str, *, ttl: float) -> bool:
        """Takes or keeps the named lease; an expired lease counts as free. False while another owner has it.

        A lease decides who tries to lead; the term decides whose appends are valid. So a lease may expire early, or its
        owner may believe in it for too long. Keeping a lease does not start a new term.
        """

    @abstractmethod
    async def release(self, name: str, owner: str) -> None:
        """Frees the lease if this owner has it."""

    @abstractmethod
    async def save_checkpoint(self, name: str, checkpoint: Checkpoint) -> bool:
        """Keeps a checkpoint and the one before it. False when its term is not current or its position not higher.

        The caller saves only state that follows from decisions it has read back as valid, so every checkpoint is a
        correct fold, and a log that cannot check the term may let the highest position win. `data` may be of any size;
        a log splits it as needed.
        """

    @abstractmethod
    async def load_checkpoint(self, name: str) -> Checkpoint | None:
        """The newest checkpoint of this log, None when there is none."""

    @abstractmethod
    async def invocation(self, invocation_id: str) -> Invocation | None:
        """One invocation, open or ended, until its entries are trimmed; None when it is unknown."""

    @abstractmethod
    async def trim(self, before: Cursor, *, keys_before: float, limit: int = 10_000) -> int:
        """Removes up to `limit` entries before a cursor, and returns how many it removed (0: done).

        Open invocations stay claimable whatever is trimmed. The ids of keyed entries and ticks made at or after
        `keys_before` (seconds since 1970 UTC) stay refused. Never moves the tail, never reuses a position. This is a
        permission: a log that can only drop whole segments may remove less, or nothing. Raises LogReplaced when the
        cursor is not of this log.
        """

    @abstractmethod
    async def clear(self) -> None:
        """Deletes all data of the app: entries, queue, keys, checkpoints, leases. The log gets a new identity."""

    @abstractmethod
    async def close(self) -> None:
        """Releases everything that this object opened; closing twice is harmless."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        await self.close()


class Backend(ABC):
    """Opens the log of an app; the object that an entry point of the group `trigger_engine.backends` names."""

    name: ClassVar[str]
    """The value of `trigger_cls` that selects it."""
    family: ClassVar[str]
    """The common prefix of the system's component names, such as "SQLite" or "Mem"."""
    section: ClassVar[str]
    """The configuration section with its settings."""
    settings_type: ClassVar[type[msgspec.Struct]]
    """A Struct with a default for every key."""
    path_keys: ClassVar[tuple[str, ...]] = ()
    """Settings that are paths; they are resolved against the file that contains them."""
    shared_between_processes: ClassVar[bool] = True
    """False when each process that opens the backend sees only its own data."""
    needs_app_id: ClassVar[bool] = False
    """True when several apps share the store, so that a guessed app id would be dangerous."""

    def __init__(self, settings: Any, *, app_id: str) -> None:
        self.settings = settings
        self.app_id = app_id

    @abstractmethod
    def location(self) -> str:
        """Where the data is, as an absolute path or URL for people, without secrets."""

    @abstractmethod
    async def open(self, *, clock: Clock) -> EventLog:
        """Opens the log for the running event loop. Raises BackendUnavailable, ConfigError."""

    async def check(self) -> list[Check]:
        """Findings about the system that may break this backend's promises, for `doctor`; changes nothing.

        Raises BackendUnavailable, ConfigError.
        """
        return []
