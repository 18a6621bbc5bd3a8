"""A leader's periodic duties: recover lost work, update declarations, watch the backlog, checkpoint, trim."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from trigger_engine._client.connections import Session
from trigger_engine._client.internals import AppInternals
from trigger_engine._engine.lifecycle import HELD, status_entry
from trigger_engine._engine.rollout import SlotAndId, TriggerChanges, missing, plan_changes
from trigger_engine._model.definitions import TriggerDefinition
from trigger_engine._model.entries import (
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
from trigger_engine._runtime.leader.retention import apply_retention
from trigger_engine._runtime.leader.term import LEASE, Term
from trigger_engine._runtime.worker.exceptions import named_facts
from trigger_engine.backend._contract import Checkpoint, Invocation, Part, RunnerRow
from trigger_engine.backend._ids import fresh_id
from trigger_engine.errors import RunnerLost

logger = logging.getLogger(__name__)
_RETENTION_INTERVAL = 60.0


class Maintenance:
    """The periodic duties of one term. Intervals are measured on the steady clock, because the wall clock may jump."""

    def __init__(self, internals: AppInternals, session: Session, runner_id: str, term: Term) -> None:
        self._internals = internals
        self._session = session
        self._runner_id = runner_id
        self._term = term
        now = internals.connections.steady()
        self._checks_at = now
        self._checkpoint_at = now + internals.settings.checkpoint_interval
        self._retention_at = now + _RETENTION_INTERVAL
        self._checkpointed = term.cursor.position
        self._pending: tuple[Position, Checkpoint] | None = None
        self._warned_of_backlog = False
        self._missing_since: dict[SlotAndId, float] = {}

    @property
    def due_in(self) -> float:
        """Seconds until the next duty, 0 or less if one is due now."""
        return min(self._checks_at, self._checkpoint_at, self._retention_at) - self._internals.connections.steady()

    async def step(self) -> None:
        """Performs the duties that are due. Raises TermEnded, BackendUnavailable."""
        now = self._internals.connections.steady()
        if now >= self._checks_at:
            self._checks_at = now + self._internals.settings.heartbeat_interval
            await self._recover()
            runners = await self._session.log.runners()
            self._term.direct_starts.runners = max(1, sum(row.alive for row in runners))
            await self._update_declarations(runners, now)
            await self._check_backlog()
        if now >= self._checkpoint_at and await self.checkpoint():
            self._checkpoint_at = now + self._internals.settings.checkpoint_interval
        if now >= self._retention_at:
            self._retention_at = now + _RETENTION_INTERVAL
            if self._internals.settings.event_auto_purge_enabled:
                await apply_retention(self._session, self._internals.settings, self._internals.connections.clock)

    async def checkpoint(self) -> bool:
        """Saves the matcher's state if it has changed; returns False if a save has to wait.

        A snapshot is taken once all its decisions are durable, and saved once they are known to be valid.
        """
        term = self._term
        if self._pending is None and term.outcomes_durable and term.cursor.position > self._checkpointed:
            await term.record_progress()
            state = Checkpoint(term=term.number, cursor=term.cursor, data=term.matcher.snapshot())
            self._pending = (term.recorded_upto, state)
        if self._pending is None:
            return term.outcomes_durable
        upto, state = self._pending
        if not term.is_confirmed(upto):
            return False
        self._pending = None
        await self._session.log.save_checkpoint(LEASE, state)
        self._checkpointed = state.cursor.position
        return True

    async def _recover(self) -> None:
        found = [self._recovery(invocation) for invocation in await self._session.log.orphans()]
        parts: list[Part] = [(entry,) for entry in found if entry is not None]
        if parts:
            await self._session.append(*parts)

    def _recovery(self, invocation: Invocation) -> Failed | Recovered | None:
        state, registration = invocation.state, invocation.registration
        if state.status not in HELD or state.runner_id == self._runner_id:
            # A late heartbeat does not mean that this leader is dead.
            return None
        now = self._internals.connections.clock()
        limit = self._internals.settings.max_recoveries
        token = f"invocation:{registration.invocation_id}"
        if state.recoveries < limit:
            logger.warning("%s of %s will run again: runner:%s was lost", token, registration.task_id, state.runner_id)
            return status_entry(Recovered, registration, state, now=now, cause=invocation.latest.id)
        logger.error(
            "%s of %s failed for good: %d runners were lost while running it", token, registration.task_id, limit + 1
        )
        message = (
            f"its runner was lost {limit + 1} times (max_recoveries={limit}); the last was runner:{state.runner_id}"
        )
        facts = named_facts(RunnerLost, message)
        return status_entry(Failed, registration, state, now=now, cause=invocation.latest.id, exception=facts)

    async def _update_declarations(self, runners: Sequence[RunnerRow], now: float) -> None:
        live = {pair for row in runners if row.alive for pair in row.facts.triggers}
        live.update((slot, definition.id) for slot, definition in self._internals.registry.triggers.items())
        active_triggers = self._term.matcher.active_triggers()
        self._missing_since = missing(active_triggers, live, self._missing_since, now)
        found = plan_changes(
            active_triggers,
            self._internals.registry.triggers,
            self._missing_since,
            retire_before=now - self._internals.settings.retire_after,
        )
        entries = self._change_entries(found, self._internals.connections.clock())
        await self._term.append([tuple(entries)] if entries else [])

    def _change_entries(self, found: TriggerChanges, now: float) -> list[LeaderEntry]:
        term = self._term.number
        entries: list[LeaderEntry] = []
        if found.declared:
            entries.append(
                TriggersDeclared(id=f"declared:{term}:{fresh_id()}", time=now, term=term, triggers=found.declared)
            )
        kinds = ((TriggerSuspended, found.suspended), (TriggerResumed, found.resumed), (TriggerRetired, found.retired))
        for kind, definitions in kinds:
            entries += [_change(kind, definition, term, now) for definition in definitions]
        return entries

    async def _check_backlog(self) -> None:
        waiting, limit = self._term.matcher.backlog, self._internals.settings.max_backlog
        if waiting <= limit:
            self._warned_of_backlog = False
        elif not self._warned_of_backlog:
            self._warned_of_backlog = True
            logger.warning("%d invocations are waiting, more than max_backlog=%d: start more runners", waiting, limit)
            term, now = self._term.number, self._internals.connections.clock()
            entry = BacklogExceeded(
                id=f"backlog:{term}:{fresh_id()}", time=now, term=term, waiting=waiting, limit=limit
            )
            await self._term.append([(entry,)])


def _change(
    kind: type[TriggerSuspended | TriggerResumed | TriggerRetired], definition: TriggerDefinition, term: int, now: float
) -> TriggerSuspended | TriggerResumed | TriggerRetired:
    name = str(kind.__struct_config__.tag)
    logger.info("trigger:%s is %s", definition.id, name)
    return kind(id=f"{name}:{term}:{fresh_id()}", time=now, term=term, trigger_id=definition.id, slot=definition.slot)
