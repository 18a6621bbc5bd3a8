"""Settling: the entry that says what came of an attempt, appended together with those that end at the same time."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any, TypeVar

from trigger_engine.app import TriggerEngine
from trigger_engine.core.retry import backoff
from trigger_engine.core.status_entries import status_entry
from trigger_engine.entries.facts import Failed, HandedBack, Retried, StatusEntry, StatusMove, Succeeded
from trigger_engine.errors import BackendUnavailable, PayloadTooLarge, SerializationError
from trigger_engine.log.contract import Invocation, Outcome, Refused
from trigger_engine.runner.attempt import Attempt, AttemptOutcome, Raised, Returned
from trigger_engine.runner.exceptions import exception_facts
from trigger_engine.session import Session

S = TypeVar("S", bound=StatusEntry)
logger = logging.getLogger(__name__)
_RETRY_SECONDS = 1.0

_Settlement = tuple[Attempt, StatusMove]


class Settler:
    """Appends what came of attempts; `settled` is called with each whose end is in the log, or needs none there."""

    def __init__(self, app: TriggerEngine, session: Session, settled: Callable[[Attempt], None]) -> None:
        self._app = app
        self._session = session
        self._settled = settled
        self._waiting: list[_Settlement] = []
        self._under_way: list[_Settlement] = []
        self._task: asyncio.Task[None] | None = None
        self._closed = False

    def settle(self, attempt: Attempt, outcome: AttemptOutcome) -> None:
        """Takes an attempt that has ended."""
        entry = self._settlement(attempt, outcome)
        if entry is None:
            self._settled(attempt)
            return
        self._waiting.append((attempt, entry))
        if self._closed:
            self._give_up()
        elif self._task is None:
            self._start()

    def close(self) -> None:
        """Gives up what is not settled yet: it will be recovered, and run again."""
        self._closed = True
        if self._task is not None:
            self._task.cancel()
        self._give_up()

    def _give_up(self) -> None:
        unsettled = [*self._under_way, *self._waiting]
        self._waiting, self._under_way = [], []
        for attempt, _ in unsettled:
            logger.warning("invocation:%s was not settled before the end: it will be run again", attempt.invocation_id)
            self._settled(attempt)

    def _start(self) -> None:
        self._task = asyncio.get_running_loop().create_task(self._run(), name="trigger-engine settling")
        self._task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._task = None
        if task.cancelled():
            self._give_up()
        elif self._waiting:
            self._start()

    async def _run(self) -> None:
        while self._waiting:
            self._under_way, self._waiting = self._waiting, []
            await self._append(self._under_way)
            self._under_way = []

    async def _append(self, settlements: list[_Settlement]) -> None:
        outcomes: list[Outcome] | None = None
        while outcomes is None:
            try:
                outcomes = await self._session.append_all([(entry,) for _, entry in settlements])
            except BackendUnavailable as exc:
                for attempt, _ in settlements:
                    logger.warning("invocation:%s waits to be settled: %s", attempt.invocation_id, exc)
                await asyncio.sleep(_RETRY_SECONDS)
            except (SerializationError, PayloadTooLarge) as exc:
                if len(settlements) > 1:
                    for settlement in settlements:
                        await self._append([settlement])
                    return
                settlements = [self._failed_to_settle(settlements[0][0], exc)]
        for (attempt, _), outcome in zip(settlements, outcomes, strict=True):
            if isinstance(outcome, Refused):
                logger.warning("invocation:%s: what it did is void: %s", attempt.invocation_id, outcome.reason)
            self._settled(attempt)

    def _failed_to_settle(self, attempt: Attempt, exc: Exception) -> _Settlement:
        """The backend will never take its result: left unsettled, it would be run again and again."""
        logger.error("invocation:%s cannot be settled: %s", attempt.invocation_id, exc)
        now = self._app._connections.clock()
        return attempt, _status(Failed, attempt.invocation, now, exception=exception_facts(exc))

    def _settlement(self, attempt: Attempt, outcome: AttemptOutcome) -> StatusMove | None:
        now = self._app._connections.clock()
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
        settings = self._app.settings
        delay = backoff(
            attempt.invocation_id, state.attempt, base=settings.retry_backoff, cap=settings.retry_backoff_max
        )
        logger.warning(
            "invocation:%s of %s failed in attempt %d, again in %.1f s: %s",
            attempt.invocation_id,
            attempt.task.task_id,
            state.attempt,
            delay,
            what,
        )
        return _status(Retried, attempt.invocation, now, exception=outcome.exception, not_before=now + delay)


def handed_back(invocation: Invocation, now: float) -> HandedBack:
    """The entry with which a runner that stops gives back what it holds."""
    return _status(HandedBack, invocation, now)


def _status(kind: type[S], invocation: Invocation, now: float, **news: Any) -> S:
    return status_entry(kind, invocation.registration, invocation.state, now=now, cause=invocation.latest.id, **news)
