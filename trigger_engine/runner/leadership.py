"""One term as leader: take over, then read, judge and append until the term ends."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from trigger_engine.app import TriggerEngine
from trigger_engine.core.continuity import continuous_since
from trigger_engine.core.ids import derive
from trigger_engine.core.judgement import Limits, compose
from trigger_engine.core.matcher import Matcher
from trigger_engine.core.takeover import Precedent
from trigger_engine.entries.facts import (
    AnyEntry,
    Judged,
    LeaderElected,
    Position,
    Started,
    TriggerFired,
    TriggersDeclared,
)
from trigger_engine.errors import LogReplaced, LogTrimmed, SerializationError
from trigger_engine.log.contract import Bookmark, Checkpoint, Outcome, Part, Refused
from trigger_engine.log.fresh import fresh_id
from trigger_engine.runner.direct_starts import DirectStarts
from trigger_engine.runner.judging import Judging
from trigger_engine.runner.timekeeper import Timekeeper
from trigger_engine.session import Session

logger = logging.getLogger(__name__)
LEASE = "match"
_READ_LIMIT = 1000
_FIRST_READ = 50
"""Entries that a new leader judges before it first appends: one that soon dies has brought its successor further."""


@dataclass(frozen=True, slots=True)
class Tools:
    """What a runner lends to each of its terms."""

    judging: Judging
    direct_starts: DirectStarts


class TermEnded(Exception):
    """Another runner leads now, or the log is another one."""


class Leadership:
    """A term. Made by `begin`; every append carries the term, so that what a former leader writes is void."""

    def __init__(self, app: TriggerEngine, session: Session, runner_id: str, tools: Tools) -> None:
        self._app = app
        self._session = session
        self._runner_id = runner_id
        self._judging = tools.judging
        self.direct_starts = tools.direct_starts
        self.matcher = self._new_matcher()
        self.bookmark = Bookmark("", 0)
        self._at_once = _FIRST_READ
        self.term: Position = 0
        self.timekeeper = Timekeeper(0.0)
        self.settled = True
        """False while something is judged whose outcome is not durable yet."""
        self.unrecorded = False
        """True when something is judged that had no consequences, which no entry says yet."""
        self.recorded_upto: Position = 0
        """The newest `upto` of the judgements that this term has appended."""

    @classmethod
    async def begin(cls, app: TriggerEngine, session: Session, runner_id: str, tools: Tools) -> Leadership:
        """Elects this runner, which must hold the lease, and replays what was judged before.

        Raises TermEnded, BackendUnavailable.
        """
        leadership = cls(app, session, runner_id, tools)
        elected = LeaderElected(
            id=f"leader:{fresh_id()}", time=app._connections.clock(), name=LEASE, runner_id=runner_id
        )
        await session.append_entry(elected)
        try:
            await leadership._load_checkpoint()
            await leadership._take_over(elected)
        except (LogReplaced, LogTrimmed) as exc:
            raise TermEnded(str(exc)) from exc
        return leadership

    def _new_matcher(self, snapshot: bytes | None = None) -> Matcher:
        settings = self._app.settings
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
                await log.follow(checkpoint.bookmark, limit=1)
            except LogReplaced:
                logger.warning("the newest checkpoint is not of this log any more: everything is read from the start")
                checkpoint = None
        matcher = None if checkpoint is None else await self._restored(checkpoint)
        if checkpoint is None or matcher is None:
            self.matcher, self.bookmark = self._new_matcher(), await log.start()
        else:
            self.matcher, self.bookmark = matcher, checkpoint.bookmark

    async def _restored(self, checkpoint: Checkpoint) -> Matcher | None:
        """None for a checkpoint that cannot be read, and is not needed, since the log has everything before it."""
        try:
            return self._new_matcher(checkpoint.data)
        except SerializationError as exc:
            if (await self._session.log.start()).position:
                raise
            logger.warning("%s: everything is read from the start", exc)
            return None

    async def _take_over(self, elected: LeaderElected) -> None:
        precedent = Precedent(frozenset(self.matcher.terms.values()))
        self.term = await self._read_precedent(precedent, elected)
        runners = await self._session.log.runners()
        now = self._app._connections.clock()
        alive = [(row.facts.started_at, now if row.alive else row.last_seen) for row in runners]
        if precedent.last_sign is not None:
            alive.append((precedent.last_sign, precedent.last_sign))
        gap = 2 * self._app.settings.lease_ttl
        self.timekeeper = Timekeeper(continuous_since(now, alive, gap=gap))
        if not self.matcher.declared:
            await self._declare_first(precedent)
        while self.matcher.read_upto < precedent.recorded_upto:
            await self._read(limit=precedent.recorded_upto - self.matcher.read_upto, wait=0.0)
        logger.info("runner:%s leads, term %d", self._runner_id, self.term)

    async def _read_precedent(self, precedent: Precedent, elected: LeaderElected) -> Position:
        at = self.bookmark
        while True:
            batch = await self._session.log.follow(at, limit=_READ_LIMIT, wait=1.0)
            for position, entry in batch.entries:
                precedent.read(position, entry)
                if entry.id == elected.id:
                    return position
            at = batch.bookmark

    async def _declare_first(self, precedent: Precedent) -> None:
        """The log's first declaration reaches back to its start: it is in force before anything is judged."""
        first = precedent.first_declaration
        if first is None:
            entry = TriggersDeclared(
                id=f"declared:{self.term}:first",
                time=self._app._connections.clock(),
                term=self.term,
                triggers=tuple(self._app.registry.triggers.values()),
                from_start=True,
            )
            await self.append([(entry,)])
        else:
            entry = first
        self.matcher.declare_first(entry)

    async def cycle(self, *, wait: float) -> bool:
        """Reads what is new (waiting up to `wait` seconds for it), judges it, appends what follows.

        Returns whether anything was read. Raises TermEnded, BackendUnavailable.
        """
        try:
            read = await self._read(limit=self._at_once, wait=wait)
        except (LogReplaced, LogTrimmed) as exc:
            raise TermEnded(str(exc)) from exc
        self._at_once = min(2 * self._at_once, _READ_LIMIT)
        parts: list[Part] = []
        self.settled = not self.matcher.unjudged
        while self.matcher.unjudged:
            verdicts = await self._judging.answer(self.matcher.questions())
            judgement = self.matcher.judge(verdicts)
            self.unrecorded = (self.unrecorded or judgement.worth_recording) and not judgement.has_outputs
            if judgement.has_outputs:
                self.recorded_upto = judgement.upto
                arguments = await self._judging.provide(judgement.firings)
                now = self._app._connections.clock()
                parts.append(compose(judgement, arguments, term=self.term, now=now))
        await self._append_and_start(parts)
        self.settled = True
        return read

    async def record_progress(self) -> None:
        """Makes what was judged without consequences durable, so that no successor judges it again."""
        if self.unrecorded:
            await self.sign()

    async def sign(self) -> None:
        """Says how far everything is judged, when `settled`; the last one of a term also says until when it lasted."""
        upto, now = self.matcher.judged, self._app._connections.clock()
        entry = Judged(id=derive("judged", self.term, upto), time=now, term=self.term, upto=upto)
        await self.append([(entry,)])
        self.unrecorded = False
        self.recorded_upto = upto

    def is_certain(self, upto: Position) -> bool:
        """True when what this term recorded up to there is known to be valid: at once, or when it is read back."""
        return self._session.log.tells_stale or self.matcher.recorded >= upto

    async def tick(self) -> None:
        """Appends the cron ticks that are due."""
        more = True
        while more:
            now = self._app._connections.clock()
            ticks, more = self.timekeeper.ticks(self.matcher.cron_conditions(), now=now, term=self.term)
            await self.append([tuple(ticks)] if ticks else [])

    async def _append_and_start(self, parts: Sequence[Part]) -> None:
        """Appends what was judged, with the starts of those runs that this process takes itself."""
        reserved = self.direct_starts.reserve(parts)
        if not reserved:
            await self.append(parts)
            return
        appending = self._submit(parts, reserved)
        try:
            outcomes = await asyncio.shield(appending)
            self._check_term(outcomes[: len(parts)])
        except asyncio.CancelledError:
            # Whoever stops lets what runs finish; these do once their starts are in the log.
            appending.add_done_callback(partial(self.direct_starts.settle_late, reserved))
            raise
        except BaseException:
            self.direct_starts.release(reserved)
            raise
        self.direct_starts.settle(reserved, outcomes[len(parts) :])
        await asyncio.sleep(0)  # What begins does so before the next cycle.

    def _submit(
        self, parts: Sequence[Part], reserved: Sequence[tuple[TriggerFired, Started]]
    ) -> asyncio.Future[list[Outcome]]:
        try:
            return self._session.commits.submit([*parts, *((start,) for _, start in reserved)])
        except BaseException:
            self.direct_starts.release(reserved)
            raise

    async def append(self, parts: Sequence[Part]) -> list[Outcome]:
        """Appends parts of this term. Raises TermEnded when it is over."""
        outcomes = await self._session.append_all(parts) if parts else []
        self._check_term(outcomes)
        return outcomes

    @staticmethod
    def _check_term(outcomes: Sequence[Outcome]) -> None:
        for outcome in outcomes:
            if isinstance(outcome, Refused):
                raise TermEnded(outcome.reason)

    async def _read(self, *, limit: int, wait: float) -> bool:
        batch = await self._session.log.follow(self.bookmark, limit=min(limit, _READ_LIMIT), wait=wait)
        for position, entry in batch.entries:
            self._note(position, entry)
        self.bookmark = batch.bookmark
        return bool(batch.entries)

    def _note(self, position: Position, entry: AnyEntry) -> None:
        reason = self.matcher.read(position, entry)
        if reason is not None:
            logger.debug("entry %s at %d is void: %s", entry.id, position, reason)
