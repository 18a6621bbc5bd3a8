"""One leader's term: take over, then read, evaluate and append until the term ends."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from functools import partial

from trigger_engine._client.connections import Session
from trigger_engine._client.internals import AppInternals
from trigger_engine._engine.decision import Limits, compose
from trigger_engine._engine.leader_recovery import Predecessors, up_since
from trigger_engine._engine.matcher import Matcher
from trigger_engine._model.entries import (
    AnyEntry,
    Judged,
    LeaderElected,
    Position,
    Started,
    TriggerFired,
    TriggersDeclared,
)
from trigger_engine._model.ids import derive
from trigger_engine._runtime.callbacks import Callbacks
from trigger_engine._runtime.leader.direct_starts import DirectStarts
from trigger_engine._runtime.leader.schedules import Schedules
from trigger_engine.backend._contract import Checkpoint, Cursor, Outcome, Part, Refused
from trigger_engine.backend._ids import fresh_id
from trigger_engine.errors import LogReplaced, LogTrimmed, SerializationError

logger = logging.getLogger(__name__)
LEASE = "match"
_READ_LIMIT = 1000
_FIRST_READ_LIMIT = 50
"""Entries a new leader evaluates before its first append. Small, so that even a short term makes progress."""


class TermEnded(Exception):
    """Another runner leads now, or the log was replaced or trimmed."""


class Term:
    """A leader's term, created by `begin`.

    Every entry the leader appends carries the term's number, so that entries of a former leader are void.
    """

    def __init__(
        self,
        internals: AppInternals,
        session: Session,
        runner_id: str,
        callbacks: Callbacks,
        direct_starts: DirectStarts,
    ) -> None:
        self._internals = internals
        self._session = session
        self._runner_id = runner_id
        self._callbacks = callbacks
        self.direct_starts = direct_starts
        self.matcher = self._new_matcher()
        self.cursor = Cursor("", 0)
        self._read_limit = _FIRST_READ_LIMIT
        self.number: Position = 0
        """The position of the term's LeaderElected entry; a later term has a higher number."""
        self.schedules = Schedules(0.0)
        self.outcomes_durable = True
        """False while an evaluated entry's outcome is not yet appended."""
        self.has_unrecorded_progress = False
        """True if entries were evaluated without consequences and no Judged entry covers them yet."""
        self.recorded_upto: Position = 0
        """The newest `upto` of the decisions that this term has appended."""

    @classmethod
    async def begin(
        cls,
        internals: AppInternals,
        session: Session,
        runner_id: str,
        callbacks: Callbacks,
        direct_starts: DirectStarts,
    ) -> Term:
        """Elects this runner, which must hold the lease, and replays what was already evaluated.

        Raises TermEnded, BackendUnavailable.
        """
        term = cls(internals, session, runner_id, callbacks, direct_starts)
        elected = LeaderElected(
            id=f"leader:{fresh_id()}", time=internals.connections.clock(), name=LEASE, runner_id=runner_id
        )
        await session.append((elected,))
        try:
            await term._load_checkpoint()
            await term._take_over(elected)
        except (LogReplaced, LogTrimmed) as exc:
            raise TermEnded(str(exc)) from exc
        return term

    def _new_matcher(self, snapshot: bytes | None = None) -> Matcher:
        settings = self._internals.settings
        limits = Limits(
            max_chain_length=settings.max_chain_length,
            max_contributions=settings.max_contributions,
            max_contribution_bytes=settings.max_contribution_bytes,
        )
        track_keys = not self._session.log.tells_stale
        if snapshot is None:
            return Matcher(limits, track_keys=track_keys)
        return Matcher.restore(snapshot, limits, track_keys=track_keys)

    async def _load_checkpoint(self) -> None:
        log = self._session.log
        checkpoint = await log.load_checkpoint(LEASE)
        if checkpoint is not None:
            try:
                await log.follow(checkpoint.cursor, limit=1)
            except LogReplaced:
                logger.warning("the newest checkpoint belongs to another log: reading this log from its start")
                checkpoint = None
        matcher = None if checkpoint is None else await self._restored(checkpoint)
        if checkpoint is None or matcher is None:
            self.matcher, self.cursor = self._new_matcher(), await log.start()
        else:
            self.matcher, self.cursor = matcher, checkpoint.cursor

    async def _restored(self, checkpoint: Checkpoint) -> Matcher | None:
        """The restored matcher, None if the checkpoint is unreadable but the log is complete without it."""
        try:
            return self._new_matcher(checkpoint.data)
        except SerializationError as exc:
            if (await self._session.log.start()).position:
                raise
            logger.warning("%s: reading the log from its start", exc)
            return None

    async def _take_over(self, elected: LeaderElected) -> None:
        predecessors = Predecessors(frozenset(self.matcher.terms.values()))
        self.number = await self._read_predecessors(predecessors, elected)
        runners = await self._session.log.runners()
        now = self._internals.connections.clock()
        alive = [(row.facts.started_at, now if row.alive else row.last_seen) for row in runners]
        if predecessors.last_sign is not None:
            alive.append((predecessors.last_sign, predecessors.last_sign))
        gap = 2 * self._internals.settings.lease_ttl
        self.schedules = Schedules(up_since(now, alive, gap=gap))
        if not self.matcher.declared:
            await self._declare_first(predecessors)
        while self.matcher.read_upto < predecessors.recorded_upto:
            await self._read(limit=predecessors.recorded_upto - self.matcher.read_upto, wait=0.0)
        logger.info("runner:%s leads, term %d", self._runner_id, self.number)

    async def _read_predecessors(self, predecessors: Predecessors, elected: LeaderElected) -> Position:
        at = self.cursor
        while True:
            batch = await self._session.log.follow(at, limit=_READ_LIMIT, wait=1.0)
            for position, entry in batch.entries:
                predecessors.read(position, entry)
                if entry.id == elected.id:
                    return position
            at = batch.cursor

    async def _declare_first(self, predecessors: Predecessors) -> None:
        """Applies the log's first declaration before anything is evaluated: it covers the log from its start."""
        first = predecessors.first_declaration
        if first is None:
            entry = TriggersDeclared(
                id=f"declared:{self.number}:first",
                time=self._internals.connections.clock(),
                term=self.number,
                triggers=tuple(self._internals.registry.triggers.values()),
                from_start=True,
            )
            await self.append([(entry,)])
        else:
            entry = first
        self.matcher.declare_first(entry)

    async def cycle(self, *, wait: float) -> bool:
        """Reads new entries, waiting up to `wait` seconds for them, evaluates them and appends the outcome.

        Returns whether anything was read. Raises TermEnded, BackendUnavailable.
        """
        try:
            read = await self._read(limit=self._read_limit, wait=wait)
        except (LogReplaced, LogTrimmed) as exc:
            raise TermEnded(str(exc)) from exc
        self._read_limit = min(2 * self._read_limit, _READ_LIMIT)
        parts: list[Part] = []
        self.outcomes_durable = not self.matcher.unevaluated
        while self.matcher.unevaluated:
            verdicts = await self._callbacks.answer(self.matcher.questions())
            decision = self.matcher.evaluate(verdicts)
            self.has_unrecorded_progress = (
                self.has_unrecorded_progress or decision.worth_recording
            ) and not decision.has_outputs
            if decision.has_outputs:
                self.recorded_upto = decision.upto
                arguments = await self._callbacks.provide(decision.firings)
                now = self._internals.connections.clock()
                parts.append(compose(decision, arguments, term=self.number, now=now))
        await self._append_and_start(parts)
        self.outcomes_durable = True
        return read

    async def record_progress(self) -> None:
        """Records entries evaluated without consequences, so that no successor evaluates them again."""
        if self.has_unrecorded_progress:
            await self.append_progress()

    async def append_progress(self) -> None:
        """Appends a Judged entry up to the last evaluated position; call it only when `outcomes_durable`.

        A term's last Judged entry also shows how long the term lasted.
        """
        upto, now = self.matcher.evaluated, self._internals.connections.clock()
        entry = Judged(id=derive("judged", self.number, upto), time=now, term=self.number, upto=upto)
        await self.append([(entry,)])
        self.has_unrecorded_progress = False
        self.recorded_upto = upto

    def is_confirmed(self, upto: Position) -> bool:
        """True if this term's records up to `upto` are known to be valid, at append or once they are read back."""
        return self._session.log.tells_stale or self.matcher.recorded >= upto

    async def append_ticks(self) -> None:
        """Appends the cron ticks that are due."""
        more = True
        while more:
            now = self._internals.connections.clock()
            ticks, more = self.schedules.ticks(self.matcher.cron_conditions(), now=now, term=self.number)
            await self.append([tuple(ticks)] if ticks else [])

    async def _append_and_start(self, parts: Sequence[Part]) -> None:
        """Appends decisions, together with the starts of the runs that this process takes itself."""
        reserved = self.direct_starts.reserve(parts)
        if not reserved:
            await self.append(parts)
            return
        appending = self._submit(parts, reserved)
        try:
            outcomes = await asyncio.shield(appending)
            self._check_term(outcomes[: len(parts)])
        except asyncio.CancelledError:
            # On shutdown, running tasks may finish: these run once their starts are in the log.
            appending.add_done_callback(partial(self.direct_starts.confirm_late, reserved))
            raise
        except BaseException:
            self.direct_starts.release(reserved)
            raise
        self.direct_starts.confirm(reserved, outcomes[len(parts) :])
        await asyncio.sleep(0)  # Let the started tasks run before the next cycle.

    def _submit(
        self, parts: Sequence[Part], reserved: Sequence[tuple[TriggerFired, Started]]
    ) -> asyncio.Future[list[Outcome]]:
        try:
            return self._session.commits.submit([*parts, *((start,) for _, start in reserved)])
        except BaseException:
            self.direct_starts.release(reserved)
            raise

    async def append(self, parts: Sequence[Part]) -> list[Outcome]:
        """Appends parts of this term. Raises TermEnded if the term is over."""
        outcomes = await self._session.append(*parts) if parts else []
        self._check_term(outcomes)
        return outcomes

    @staticmethod
    def _check_term(outcomes: Sequence[Outcome]) -> None:
        for outcome in outcomes:
            if isinstance(outcome, Refused):
                raise TermEnded(outcome.reason)

    async def _read(self, *, limit: int, wait: float) -> bool:
        batch = await self._session.log.follow(self.cursor, limit=min(limit, _READ_LIMIT), wait=wait)
        for position, entry in batch.entries:
            self._read_entry(position, entry)
        self.cursor = batch.cursor
        return bool(batch.entries)

    def _read_entry(self, position: Position, entry: AnyEntry) -> None:
        reason = self.matcher.read(position, entry)
        if reason is not None:
            logger.debug("entry %s at %d is void: %s", entry.id, position, reason)
