"""Leader election: take the lease when it is free, lead while holding it, yield it to newer code."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any

from trigger_engine._client.connections import Session
from trigger_engine._client.internals import AppInternals
from trigger_engine._engine.rollout import yields_to
from trigger_engine._runtime.callbacks import Callbacks
from trigger_engine._runtime.heartbeat import runner_facts
from trigger_engine._runtime.leader.direct_starts import DirectStarts
from trigger_engine._runtime.leader.maintenance import Maintenance
from trigger_engine._runtime.leader.term import LEASE, Term, TermEnded
from trigger_engine._runtime.timings import Timings
from trigger_engine._runtime.user_calls import describe
from trigger_engine._runtime.worker.worker import Worker
from trigger_engine.backend._contract import RunnerFacts
from trigger_engine.errors import BackendUnavailable

logger = logging.getLogger(__name__)
_IDLE_WAIT = 1.0
FINAL_CALL_TIMEOUT = 5.0
"""Time limit in seconds for each of a stopping runner's final calls, so that a hanging backend cannot block it."""
_PROGRESS_DELAY = 0.1
"""Seconds without new entries after which the leader records how far it has evaluated."""


class Election:
    """One runner's part in the election. `step` does one unit of work; `run` and `keep_lease` loop until cancelled."""

    def __init__(
        self, internals: AppInternals, session: Session, runner_id: str, started_at: float, worker: Worker
    ) -> None:
        self._internals = internals
        self._session = session
        self._runner_id = runner_id
        self._started_at = started_at
        self._callbacks = Callbacks(internals)
        self._direct_starts = DirectStarts(worker)
        self._has_lease = False
        self._resigned = False
        self._term: Term | None = None
        self._maintenance: Maintenance | None = None

    @property
    def leading(self) -> bool:
        """True while this runner believes that it leads."""
        return self._term is not None

    @property
    def term(self) -> Term | None:
        """This runner's current term, None while it does not lead."""
        return self._term

    @property
    def timings(self) -> Timings:
        """Durations of the filter and provider calls that this runner made."""
        return self._callbacks.timings

    async def run(self) -> None:
        """Leads whenever the lease is free, until cancelled."""
        while True:
            if not await self.step(wait=_IDLE_WAIT) and not self.leading:
                await asyncio.sleep(self._internals.settings.lease_ttl / 5)

    async def keep_lease(self) -> None:
        """Renews the lease until cancelled. Runs beside `run`, so that slow evaluation does not lose the lease."""
        while True:
            await asyncio.sleep(self._internals.settings.lease_ttl / 3)
            if self._has_lease:
                try:
                    await self._renew()
                except BackendUnavailable as exc:
                    logger.warning("runner:%s could not renew its lease: %s", self._runner_id, exc)

    async def step(self, *, wait: float) -> bool:
        """Runs one cycle as leader, waiting up to `wait` seconds for entries, or tries once to become leader.

        A runner that became leader has also declared its triggers. Returns whether it did anything.
        Raises BackendUnavailable; the runner then no longer leads.
        """
        try:
            if self._term is None or self._maintenance is None:
                return await self._try_to_lead()
            return await self._lead(self._term, self._maintenance, wait)
        except TermEnded as exc:
            logger.info("runner:%s no longer leads: %s", self._runner_id, exc)
            self._step_down()
            return True
        except Exception:
            self._step_down()
            raise

    async def resign(self) -> None:
        """Saves a final checkpoint and releases the lease, within 2 * FINAL_CALL_TIMEOUT seconds. Idempotent."""
        if self._resigned:
            return
        try:
            await self._within_limit(self._save_progress())
        finally:
            self._step_down()
            self._callbacks.close()
            # Even when not leading: a cancelled attempt to lead may have acquired the lease.
            await self._within_limit(self._session.log.release(LEASE, self._runner_id))
        self._resigned = True

    async def _save_progress(self) -> None:
        if self._maintenance is not None and self._term is not None and self._term.outcomes_durable:
            await self._maintenance.checkpoint()
            await self._term.append_progress()

    async def _within_limit(self, call: Coroutine[Any, Any, None]) -> None:
        try:
            async with asyncio.timeout(FINAL_CALL_TIMEOUT):
                await call
        except (TermEnded, BackendUnavailable, TimeoutError) as exc:
            logger.debug("runner:%s skipped a final call when resigning: %s", self._runner_id, describe(exc))

    async def _try_to_lead(self) -> bool:
        if await self._newer_code_is_live():
            return False
        if not await self._session.log.acquire(LEASE, self._runner_id, ttl=self._internals.settings.lease_ttl):
            return False
        self._has_lease = True
        term = await Term.begin(self._internals, self._session, self._runner_id, self._callbacks, self._direct_starts)
        if not self._has_lease:
            raise TermEnded("the lease was lost while the log was being read")
        self._term = term
        self._maintenance = Maintenance(self._internals, self._session, self._runner_id, term)
        await self._maintenance.step()
        return True

    async def _lead(self, term: Term, maintenance: Maintenance, wait: float) -> bool:
        # keep_lease may step down during any await here; entries of a former leader are void.
        await term.append_ticks()
        await maintenance.step()
        wait = min(wait, maintenance.due_in)
        next_tick = term.schedules.next_due(term.matcher.cron_conditions())
        if next_tick is not None:
            wait = min(wait, next_tick - self._internals.connections.clock())
        wait = max(0.0, wait)
        if term.has_unrecorded_progress:
            wait = min(wait, _PROGRESS_DELAY)
        read = await term.cycle(wait=wait)
        if not read:
            await term.record_progress()
        return read

    async def _renew(self) -> None:
        held = await self._session.log.acquire(LEASE, self._runner_id, ttl=self._internals.settings.lease_ttl)
        if not held:
            logger.info("runner:%s lost the lease", self._runner_id)
            self._step_down()
        elif await self._newer_code_is_live():
            logger.info("runner:%s yields to a runner with newer triggers", self._runner_id)
            self._step_down()
            await self._session.log.release(LEASE, self._runner_id)

    async def _newer_code_is_live(self) -> bool:
        own = runner_facts(self._internals, self._runner_id, self._started_at)
        rows = await self._session.log.runners()
        return any(row.alive and _is_newer(own, row.facts) for row in rows)

    def _step_down(self) -> None:
        self._has_lease = False
        self._term = None
        self._maintenance = None


def _is_newer(own: RunnerFacts, other: RunnerFacts) -> bool:
    return other.runner_id != own.runner_id and yields_to(
        (own.code_time, own.started_at),
        frozenset(own.triggers),
        (other.code_time, other.started_at),
        frozenset(other.triggers),
    )
