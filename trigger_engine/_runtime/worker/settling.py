"""Settling claims: appending the outcomes of attempts, batched when several end at the same time."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any, TypeVar

from trigger_engine._client.connections import Session
from trigger_engine._client.internals import AppInternals
from trigger_engine._engine.lifecycle import status_entry
from trigger_engine._engine.retry import backoff
from trigger_engine._model.entries import Failed, HandedBack, Retried, StatusEntry, StatusMove, Succeeded
from trigger_engine._runtime.worker.attempt import Attempt, AttemptOutcome, Raised, Returned
from trigger_engine._runtime.worker.exceptions import exception_facts
from trigger_engine.backend._contract import Invocation, Outcome, Refused
from trigger_engine.errors import BackendUnavailable, PayloadTooLarge, SerializationError

S = TypeVar("S", bound=StatusEntry)
logger = logging.getLogger(__name__)
_RETRY_SECONDS = 1.0

_Settlement = tuple[Attempt, StatusMove]


class Settler:
    """Appends the outcomes of attempts. `settled` is called with each attempt once its outcome is stored or dropped."""

    def __init__(self, internals: AppInternals, session: Session, settled: Callable[[Attempt], None]) -> None:
        self._internals = internals
        self._session = session
        self._settled = settled
        self._waiting: list[_Settlement] = []
        self._in_flight: list[_Settlement] = []
        self._task: asyncio.Task[None] | None = None
        self._closed = False

    def settle(self, attempt: Attempt, outcome: AttemptOutcome) -> None:
        """Queues the outcome of an ended attempt for appending."""
        entry = self._settlement(attempt, outcome)
        if entry is None:
            self._settled(attempt)
            return
        self._waiting.append((attempt, entry))
        if self._closed:
            self._abandon()
        elif self._task is None:
            self._start()

    def close(self) -> None:
        """Abandons unsettled attempts; the leader will recover their invocations, which then run again."""
        self._closed = True
        if self._task is not None:
            self._task.cancel()
        self._abandon()

    def _abandon(self) -> None:
        unsettled = [*self._in_flight, *self._waiting]
        self._waiting, self._in_flight = [], []
        for attempt, _ in unsettled:
            logger.warning("invocation:%s was not settled before shutdown and will run again", attempt.invocation_id)
            self._settled(attempt)

    def _start(self) -> None:
        self._task = asyncio.get_running_loop().create_task(self._run(), name="trigger-engine settling")
        self._task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._task = None
        if task.cancelled():
            self._abandon()
        elif self._waiting:
            self._start()

    async def _run(self) -> None:
        while self._waiting:
            self._in_flight, self._waiting = self._waiting, []
            await self._append(self._in_flight)
            self._in_flight = []

    async def _append(self, settlements: list[_Settlement]) -> None:
        outcomes: list[Outcome] | None = None
        while outcomes is None:
            try:
                outcomes = await self._session.append(*((entry,) for _, entry in settlements))
            except BackendUnavailable as exc:
                for attempt, _ in settlements:
                    logger.warning("invocation:%s is waiting to be settled: %s", attempt.invocation_id, exc)
                await asyncio.sleep(_RETRY_SECONDS)
            except (SerializationError, PayloadTooLarge) as exc:
                if len(settlements) > 1:
                    for settlement in settlements:
                        await self._append([settlement])
                    return
                settlements = [self._failed_to_settle(settlements[0][0], exc)]
        for (attempt, _), outcome in zip(settlements, outcomes, strict=True):
            if isinstance(outcome, Refused):
                logger.warning("invocation:%s: its outcome is void: %s", attempt.invocation_id, outcome.reason)
            self._settled(attempt)

    def _failed_to_settle(self, attempt: Attempt, exc: Exception) -> _Settlement:
        """Fails an attempt whose result the backend can never store; otherwise it would run again forever."""
        logger.error("invocation:%s cannot be settled: %s", attempt.invocation_id, exc)
        now = self._internals.connections.clock()
        return attempt, _status(Failed, attempt.invocation, now, exception=exception_facts(exc))

    def _settlement(self, attempt: Attempt, outcome: AttemptOutcome) -> StatusMove | None:
        now = self._internals.connections.clock()
        if isinstance(outcome, Returned):
            logger.debug("invocation:%s of %s succeeded", attempt.invocation_id, attempt.task.task_id)
            return _status(Succeeded, attempt.invocation, now, result=outcome.result)
        if isinstance(outcome, Raised):
            return self._failure(attempt, outcome, now)
        return handed_back(attempt.invocation, now) if outcome.reason == "shutdown" else None

    def _failure(self, attempt: Attempt, outcome: Raised, now: float) -> Failed | Retried:
        state = attempt.invocation.state
        what = f"{outcome.exception.type}: {outcome.exception.message}"
        if not attempt.task.settings.retries.allows(state.attempt, retryable=outcome.retryable):
            logger.error("invocation:%s of %s failed: %s", attempt.invocation_id, attempt.task.task_id, what)
            return _status(Failed, attempt.invocation, now, exception=outcome.exception)
        settings = self._internals.settings
        delay = backoff(
            attempt.invocation_id, state.attempt, base=settings.retry_backoff, cap=settings.retry_backoff_max
        )
        logger.warning(
            "invocation:%s of %s failed in attempt %d, retrying in %.1f s: %s",
            attempt.invocation_id,
            attempt.task.task_id,
            state.attempt,
            delay,
            what,
        )
        return _status(Retried, attempt.invocation, now, exception=outcome.exception, not_before=now + delay)


def handed_back(invocation: Invocation, now: float) -> HandedBack:
    """The entry that returns a claimed invocation to the queue."""
    return _status(HandedBack, invocation, now)


def _status(kind: type[S], invocation: Invocation, now: float, **fields: Any) -> S:
    return status_entry(kind, invocation.registration, invocation.state, now=now, cause=invocation.latest.id, **fields)
