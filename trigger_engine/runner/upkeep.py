"""What a leader does beside judging: recover lost work, keep declarations true, warn, checkpoint, apply retention."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from trigger_engine.app import TriggerEngine
from trigger_engine.core.lifecycle import HELD
from trigger_engine.core.rollout import Changes, SlotAndId, changes, missing
from trigger_engine.core.status_entries import status_entry
from trigger_engine.entries.definitions import TriggerDefinition
from trigger_engine.entries.facts import (
    BacklogExceeded,
    Failed,
    LeaderEntry,
    Position,
    Recovered,
    TriggerResumed,
    TriggerRetired,
    TriggersDeclared,
    TriggerSuspended,
)
from trigger_engine.errors import RunnerLost
from trigger_engine.log.contract import Checkpoint, Invocation, Part, RunnerRow
from trigger_engine.log.fresh import fresh_id
from trigger_engine.runner.exceptions import named_facts
from trigger_engine.runner.leadership import LEASE, Leadership
from trigger_engine.runner.retention import apply_retention
from trigger_engine.session import Session

logger = logging.getLogger(__name__)
_RETENTION_INTERVAL = 60.0


class Upkeep:
    """The periodic duties of one term. Their times are those of the steady clock: the wall clock may jump."""

    def __init__(self, app: TriggerEngine, session: Session, runner_id: str, leadership: Leadership) -> None:
        self._app = app
        self._session = session
        self._runner_id = runner_id
        self._leadership = leadership
        now = app._connections.steady()
        self._care_at = now
        self._checkpoint_at = now + app.settings.checkpoint_interval
        self._retention_at = now + _RETENTION_INTERVAL
        self._checkpointed = leadership.bookmark.position
        self._pending: tuple[Position, Checkpoint] | None = None
        self._warned_of_backlog = False
        self._missing_since: dict[SlotAndId, float] = {}

    @property
    def due_in(self) -> float:
        """Seconds until there is something to do again, 0 or less when there is now."""
        return min(self._care_at, self._checkpoint_at, self._retention_at) - self._app._connections.steady()

    async def step(self) -> None:
        """Does what is due. Raises TermEnded, BackendUnavailable."""
        now = self._app._connections.steady()
        if now >= self._care_at:
            self._care_at = now + self._app.settings.heartbeat_interval
            await self._recover()
            runners = await self._session.log.runners()
            self._leadership.direct_starts.runners = max(1, sum(row.alive for row in runners))
            await self._keep_declarations(runners, now)
            await self._watch_backlog()
        if now >= self._checkpoint_at and await self.checkpoint():
            self._checkpoint_at = now + self._app.settings.checkpoint_interval
        if now >= self._retention_at:
            self._retention_at = now + _RETENTION_INTERVAL
            if self._app.settings.event_auto_purge_enabled:
                await apply_retention(self._session, self._app.settings, self._app._connections.clock)

    async def checkpoint(self) -> bool:
        """Saves the fold's state where it has moved on since the last time, and says whether nothing is left to save.

        A state is taken when all its judgements are appended, and saved when they are known to be valid.
        """
        leadership = self._leadership
        if self._pending is None and leadership.settled and leadership.bookmark.position > self._checkpointed:
            await leadership.record_progress()
            state = Checkpoint(term=leadership.term, bookmark=leadership.bookmark, data=leadership.matcher.snapshot())
            self._pending = (leadership.recorded_upto, state)
        if self._pending is None:
            return leadership.settled
        upto, state = self._pending
        if not leadership.is_certain(upto):
            return False
        self._pending = None
        await self._session.log.save_checkpoint(LEASE, state)
        self._checkpointed = state.bookmark.position
        return True

    async def _recover(self) -> None:
        found = [self._recovery(invocation) for invocation in await self._session.log.orphans()]
        parts: list[Part] = [(entry,) for entry in found if entry is not None]
        if parts:
            await self._session.append_all(parts)

    def _recovery(self, invocation: Invocation) -> Failed | Recovered | None:
        state, registration = invocation.state, invocation.registration
        if state.status not in HELD or state.runner_id == self._runner_id:
            # A leader whose own heartbeat was late is alive all the same.
            return None
        now = self._app._connections.clock()
        limit = self._app.settings.max_recoveries
        token = f"invocation:{registration.invocation_id}"
        if state.recoveries < limit:
            logger.warning("%s of %s: runner:%s was lost, it runs again", token, registration.task_id, state.runner_id)
            return status_entry(Recovered, registration, state, now=now, cause=invocation.latest.id)
        logger.error("%s of %s took %d runners down and is given up", token, registration.task_id, limit + 1)
        message = (
            f"its runner was lost {limit + 1} times (max_recoveries={limit}); the last was runner:{state.runner_id}"
        )
        facts = named_facts(RunnerLost, message)
        return status_entry(Failed, registration, state, now=now, cause=invocation.latest.id, exception=facts)

    async def _keep_declarations(self, runners: Sequence[RunnerRow], now: float) -> None:
        live = {pair for row in runners if row.alive for pair in row.facts.triggers}
        live.update((slot, definition.id) for slot, definition in self._app.registry.triggers.items())
        in_force = self._leadership.matcher.in_force()
        self._missing_since = missing(in_force, live, self._missing_since, now)
        found = changes(
            in_force,
            self._app.registry.triggers,
            self._missing_since,
            retire_before=now - self._app.settings.retire_after,
        )
        entries = self._change_entries(found, self._app._connections.clock())
        await self._leadership.append([tuple(entries)] if entries else [])

    def _change_entries(self, found: Changes, now: float) -> list[LeaderEntry]:
        term = self._leadership.term
        entries: list[LeaderEntry] = []
        if found.declared:
            entries.append(
                TriggersDeclared(id=f"declared:{term}:{fresh_id()}", time=now, term=term, triggers=found.declared)
            )
        kinds = ((TriggerSuspended, found.suspended), (TriggerResumed, found.resumed), (TriggerRetired, found.retired))
        for kind, definitions in kinds:
            entries += [_change(kind, definition, term, now) for definition in definitions]
        return entries

    async def _watch_backlog(self) -> None:
        waiting, limit = self._leadership.matcher.backlog, self._app.settings.max_backlog
        if waiting <= limit:
            self._warned_of_backlog = False
        elif not self._warned_of_backlog:
            self._warned_of_backlog = True
            logger.warning("%d invocations wait, more than max_backlog=%d: start more runners", waiting, limit)
            term, now = self._leadership.term, self._app._connections.clock()
            entry = BacklogExceeded(
                id=f"backlog:{term}:{fresh_id()}", time=now, term=term, waiting=waiting, limit=limit
            )
            await self._leadership.append([(entry,)])


def _change(
    kind: type[TriggerSuspended | TriggerResumed | TriggerRetired], definition: TriggerDefinition, term: int, now: float
) -> TriggerSuspended | TriggerResumed | TriggerRetired:
    name = str(kind.__struct_config__.tag)
    logger.info("trigger:%s is %s", definition.id, name)
    return kind(id=f"{name}:{term}:{fresh_id()}", time=now, term=term, trigger_id=definition.id, slot=definition.slot)
