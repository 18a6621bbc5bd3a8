"""The leader's seat: take the lease when it is free, lead while it lasts, give it up to newer code."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any

from trigger_engine.app import TriggerEngine
from trigger_engine.core.rollout import yields_to
from trigger_engine.errors import BackendUnavailable
from trigger_engine.log.contract import RunnerFacts
from trigger_engine.runner.callables import describe
from trigger_engine.runner.direct_starts import DirectStarts
from trigger_engine.runner.heartbeat import runner_facts
from trigger_engine.runner.judging import Judging
from trigger_engine.runner.leadership import LEASE, Leadership, TermEnded, Tools
from trigger_engine.runner.timings import Timings
from trigger_engine.runner.upkeep import Upkeep
from trigger_engine.runner.worker import Worker
from trigger_engine.session import Session

logger = logging.getLogger(__name__)
_IDLE_WAIT = 1.0
LAST_WORDS = 5.0
"""Seconds for each of the last calls of a runner; a backend that hangs does not keep it longer."""
_PROGRESS_DELAY = 0.1
"""Seconds of quiet after which the log is told how far its entries are judged."""


class Leader:
    """One runner's part in leading. `step` is the unit of work; `run` and `keep_lease` go on until cancelled."""

    def __init__(self, app: TriggerEngine, session: Session, runner_id: str, started_at: float, worker: Worker) -> None:
        self._app = app
        self._session = session
        self._runner_id = runner_id
        self._started_at = started_at
        self._tools = Tools(Judging(app), DirectStarts(worker))
        self._has_lease = False
        self._resigned = False
        self._leadership: Leadership | None = None
        self._upkeep: Upkeep | None = None

    @property
    def leading(self) -> bool:
        """True while this runner leads, as far as it knows."""
        return self._leadership is not None

    @property
    def leadership(self) -> Leadership | None:
        """The current term, if this runner leads."""
        return self._leadership

    @property
    def timings(self) -> Timings:
        """How long the filters and providers took that this runner has called."""
        return self._tools.judging.timings

    async def run(self) -> None:
        """Leads whenever it can, until cancelled."""
        while True:
            if not await self.step(wait=_IDLE_WAIT) and not self.leading:
                await asyncio.sleep(self._app.settings.lease_ttl / 5)

    async def keep_lease(self) -> None:
        """Renews the lease until cancelled, apart from the judging, so that slow judging does not cost it."""
        while True:
            await asyncio.sleep(self._app.settings.lease_ttl / 3)
            if self._has_lease:
                try:
                    await self._renew()
                except BackendUnavailable as exc:
                    logger.warning("runner:%s could not renew its lead: %s", self._runner_id, exc)

    async def step(self, *, wait: float) -> bool:
        """One cycle of leading (waiting up to `wait` seconds for entries), or one try to lead.

        A runner that has begun to lead has put its triggers in force. Returns whether anything was done. Raises
        BackendUnavailable; after it this runner does not lead.
        """
        try:
            if self._leadership is None or self._upkeep is None:
                return await self._try()
            return await self._lead(self._leadership, self._upkeep, wait)
        except TermEnded as exc:
            logger.info("runner:%s leads no more: %s", self._runner_id, exc)
            self._step_down()
            return True
        except Exception:
            self._step_down()
            raise

    async def resign(self) -> None:
        """Gives the lease back, after a last checkpoint, within twice LAST_WORDS; harmless when it is done already."""
        if self._resigned:
            return
        try:
            await self._last_words(self._sign_off())
        finally:
            self._step_down()
            self._tools.judging.close()
            # Also when it does not lead: a try to lead that was cut off may have taken the lease.
            await self._last_words(self._session.log.release(LEASE, self._runner_id))
        self._resigned = True

    async def _sign_off(self) -> None:
        if self._upkeep is not None and self._leadership is not None and self._leadership.settled:
            await self._upkeep.checkpoint()
            await self._leadership.sign()

    async def _last_words(self, words: Coroutine[Any, Any, None]) -> None:
        try:
            async with asyncio.timeout(LAST_WORDS):
                await words
        except (TermEnded, BackendUnavailable, TimeoutError) as exc:
            logger.debug("runner:%s resigned without a last word: %s", self._runner_id, describe(exc))

    async def _try(self) -> bool:
        if await self._newer_code_is_live():
            return False
        if not await self._session.log.acquire(LEASE, self._runner_id, ttl=self._app.settings.lease_ttl):
            return False
        self._has_lease = True
        leadership = await Leadership.begin(self._app, self._session, self._runner_id, self._tools)
        if not self._has_lease:
            raise TermEnded("the lease was lost while the log was read")
        self._leadership = leadership
        self._upkeep = Upkeep(self._app, self._session, self._runner_id, leadership)
        await self._upkeep.step()
        return True

    async def _lead(self, leadership: Leadership, upkeep: Upkeep, wait: float) -> bool:
        # The renewal may step down at every await in here; what a former leader appends is void.
        await leadership.tick()
        await upkeep.step()
        wait = min(wait, upkeep.due_in)
        next_tick = leadership.timekeeper.next_due(leadership.matcher.cron_conditions())
        if next_tick is not None:
            wait = min(wait, next_tick - self._app._connections.clock())
        wait = max(0.0, wait)
        if leadership.unrecorded:
            wait = min(wait, _PROGRESS_DELAY)
        read = await leadership.cycle(wait=wait)
        if not read:
            await leadership.record_progress()
        return read

    async def _renew(self) -> None:
        held = await self._session.log.acquire(LEASE, self._runner_id, ttl=self._app.settings.lease_ttl)
        if not held:
            logger.info("runner:%s lost the lead", self._runner_id)
            self._step_down()
        elif await self._newer_code_is_live():
            logger.info("runner:%s yields to a runner with newer triggers", self._runner_id)
            self._step_down()
            await self._session.log.release(LEASE, self._runner_id)

    async def _newer_code_is_live(self) -> bool:
        own = runner_facts(self._app, self._runner_id, self._started_at)
        rows = await self._session.log.runners()
        return any(row.alive and _is_newer(own, row.facts) for row in rows)

    def _step_down(self) -> None:
        self._has_lease = False
        self._leadership = None
        self._upkeep = None


def _is_newer(own: RunnerFacts, other: RunnerFacts) -> bool:
    return other.runner_id != own.runner_id and yields_to(
        (own.code_time, own.started_at),
        frozenset(own.triggers),
        (other.code_time, other.started_at),
        frozenset(other.triggers),
    )
