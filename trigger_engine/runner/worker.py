"""The worker: claims what it can run, runs it, and settles each claim with one entry."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection
from typing import Any, TypeVar

from trigger_engine.app import TriggerEngine
from trigger_engine.core.lifecycle import InvocationState, move
from trigger_engine.core.retry import backoff
from trigger_engine.core.status_entries import status_entry
from trigger_engine.entries.facts import (
    Failed,
    HandedBack,
    Position,
    Retried,
    Started,
    StatusEntry,
    StatusMove,
    Succeeded,
    TriggerFired,
)
from trigger_engine.errors import BackendUnavailable, PayloadTooLarge, SerializationError
from trigger_engine.log.claims import started
from trigger_engine.log.contract import Claims, Invocation, Outcome, Refused
from trigger_engine.runner.attempt import Attempt, AttemptOutcome, Raised, Returned, Timers
from trigger_engine.runner.callables import describe
from trigger_engine.runner.exceptions import exception_facts
from trigger_engine.runner.processes import ChildProcesses
from trigger_engine.runner.threads import Threads
from trigger_engine.session import Session
from trigger_engine.task import Task

S = TypeVar("S", bound=StatusEntry)
logger = logging.getLogger(__name__)
_SETTLE_RETRY = 1.0
_LAST_SETTLE = 5.0
"""Seconds for what was stopped to end and be settled."""
_CHILD_POLL = 0.05


class Worker:
    """Runs invocations for one runner, at most `concurrency` at a time.

    `children` gives the child processes when a task runs in one. `unknown_tasks` is told of work that waits for tasks
    this runner does not know, and says whether it has learned any.
    """

    def __init__(
        self,
        app: TriggerEngine,
        session: Session,
        runner_id: str,
        *,
        timers: Timers,
        children: ChildProcesses,
        unknown_tasks: Callable[[frozenset[str]], bool],
    ) -> None:
        self._app = app
        self._session = session
        self._runner_id = runner_id
        self._timers = timers
        self._children = children
        self._unknown_tasks = unknown_tasks
        self._threads = Threads("trigger-engine task")
        self._held: dict[str, Attempt | None] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._freed = asyncio.Event()
        self.finished = 0

    @property
    def busy(self) -> int:
        """How many places are taken: by what runs, and by starts that are being appended."""
        return len(self._held)

    def attempts(self) -> list[Attempt]:
        """What runs now."""
        return [attempt for attempt in self._held.values() if attempt is not None]

    async def run(self) -> None:
        """Claims until cancelled; `drain` ends what runs then."""
        while True:
            if self.busy >= self._app.settings.concurrency:
                self._freed.clear()
                await self._freed.wait()
            await self.claim_once(wait=1.0)

    async def claim_once(self, *, wait: float) -> bool:
        """One claim, waiting up to `wait` seconds for work; starts what it brings and says whether it did anything."""
        claims = await self._claim_what_fits(wait)
        for invocation in (*claims.started, *claims.stranded):
            self._start(invocation)
        self._stop_revoked(claims)
        learned = bool(claims.unknown) and self._unknown_tasks(claims.unknown)
        return bool(claims.started or claims.stranded or claims.revoked or learned)

    def reserve(self, fired: TriggerFired) -> Started | None:
        """The start of a run by this worker, to be appended with its registration; None when it cannot take it now.

        Its place is taken until `begin` or `release`.
        """
        task = self._app.registry.tasks.get(fired.task_id)
        queues = self._app.settings.queues
        if task is None or self._in_child(task) or (queues and fired.queue not in queues):
            return None
        if self.busy >= self._app.settings.concurrency:
            return None
        start = started(fired, InvocationState(), runner_id=self._runner_id, now=self._app._connections.clock())
        self._held[start.claim_id] = None
        return start

    def begin(self, fired: TriggerFired, start: Started, position: Position) -> None:
        """Runs what was reserved and is now in the log."""
        state = move(InvocationState(), start, position)
        assert isinstance(state, InvocationState)
        self._start(Invocation(fired, position, state, start))

    def release(self, start: Started) -> None:
        """Gives a reserved place back."""
        if self._held.get(start.claim_id, self) is None:
            del self._held[start.claim_id]
            self._freed.set()

    async def stop_revoked(self) -> None:
        """Stops attempts whose claims the store has given up (cancelled, or recovered by others)."""
        if self._held:
            self._stop_revoked(await self._claim((), limit=0, wait=0.0))

    async def drain(self, timeout: float) -> None:
        """Lets running attempts finish for `timeout` seconds, then stops them and hands them back."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=timeout)
        for attempt in self.attempts():
            attempt.stop("shutdown")
        while self._tasks:
            _, hanging = await asyncio.wait(self._tasks, timeout=_LAST_SETTLE)
            for task in hanging:
                # Neither a task that ignores its cancellation nor a backend that is away may keep the runner.
                task.cancel()
        await self._hand_back_stranded()
        self._threads.close()

    async def _claim_what_fits(self, wait: float) -> Claims:
        """Never claims more child-process tasks than there are free children."""
        free = self._app.settings.concurrency - self.busy
        tasks = self._app.registry.tasks
        light = [name for name, task in tasks.items() if not self._in_child(task)]
        if len(light) == len(tasks):
            return await self._claim(light, limit=free, wait=wait)
        claims = await self._claim(light, limit=free, wait=0.0)
        if claims.started or claims.stranded:
            return claims
        children = self._children.limit - sum(self._in_child(attempt.task) for attempt in self.attempts())
        if children <= 0:
            return await self._claim(light, limit=free, wait=min(wait, _CHILD_POLL))
        return await self._claim(tasks, limit=min(free, children), wait=wait)

    async def _claim(self, tasks: Collection[str], *, limit: int, wait: float) -> Claims:
        return await self._session.log.claim(
            self._runner_id,
            tasks=tasks,
            queues=self._app.settings.queues,
            holding=self._held.keys(),
            limit=limit,
            wait=wait,
        )

    async def _hand_back_stranded(self) -> None:
        """A claim that was cut off by the shutdown may have taken work that never arrived here."""
        try:
            async with asyncio.timeout(_LAST_SETTLE):
                for invocation in (await self._claim((), limit=0, wait=0.0)).stranded:
                    await self._session.append_entry(_status(HandedBack, invocation, self._app._connections.clock()))
        except (BackendUnavailable, TimeoutError) as exc:
            logger.warning("runner:%s could not hand back its work, recovery will: %s", self._runner_id, describe(exc))

    def _stop_revoked(self, claims: Claims) -> None:
        for claim_id in claims.revoked:
            attempt = self._held.get(claim_id)
            # A look may come between a settlement and its return: what has ended needs no stopping.
            if attempt is not None and not attempt.ended:
                logger.info("invocation:%s is no longer ours (cancelled or recovered): stopped", attempt.invocation_id)
                attempt.stop("revoked")

    def _start(self, invocation: Invocation) -> None:
        if self._held.get(invocation.state.claim_id) is not None:
            return
        task = self._app.registry.tasks[invocation.registration.task_id]
        attempt = Attempt(
            task,
            invocation,
            timers=self._timers,
            threads=self._threads,
            children=self._children if self._in_child(task) else None,
            max_bytes=self._app.settings.max_payload_bytes,
        )
        self._held[attempt.claim_id] = attempt
        running = asyncio.get_running_loop().create_task(self._execute(attempt))
        self._tasks.add(running)
        running.add_done_callback(self._tasks.discard)

    def _in_child(self, task: Task[Any, Any]) -> bool:
        if task.is_async:
            return False
        if task.settings.run_in is not None:
            return task.settings.run_in == "process"
        return self._app.settings.runner_cls == "ProcessRunner"

    async def _execute(self, attempt: Attempt) -> None:
        try:
            outcome = await attempt.run()
            await self._settle(attempt, outcome)
        except asyncio.CancelledError:
            logger.warning("invocation:%s was not settled before the end: it will be run again", attempt.invocation_id)
        finally:
            self._held.pop(attempt.claim_id, None)
            self._freed.set()
            self.finished += 1

    async def _settle(self, attempt: Attempt, outcome: AttemptOutcome) -> None:
        entry = self._settlement(attempt, outcome)
        if entry is None:
            return
        settled: Outcome | None = None
        while settled is None:
            try:
                settled = await self._session.append_entry(entry)
            except BackendUnavailable as exc:
                logger.warning("invocation:%s waits to be settled: %s", attempt.invocation_id, exc)
                await asyncio.sleep(_SETTLE_RETRY)
            except (SerializationError, PayloadTooLarge) as exc:
                # The backend will never take it: left unsettled, it would be run again and again.
                logger.error("invocation:%s cannot be settled: %s", attempt.invocation_id, exc)  # noqa: TRY400
                now = self._app._connections.clock()
                entry = _status(Failed, attempt.invocation, now, exception=exception_facts(exc))
        if isinstance(settled, Refused):
            logger.warning("invocation:%s: what it did is void: %s", attempt.invocation_id, settled.reason)

    def _settlement(self, attempt: Attempt, outcome: AttemptOutcome) -> StatusMove | None:
        now = self._app._connections.clock()
        invocation = attempt.invocation
        if isinstance(outcome, Returned):
            logger.debug("invocation:%s of %s succeeded", attempt.invocation_id, attempt.task.task_id)
            return _status(Succeeded, invocation, now, result=outcome.result)
        if isinstance(outcome, Raised):
            return self._failure(attempt, outcome, now)
        return _status(HandedBack, invocation, now) if outcome.reason == "shutdown" else None

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


def _status(kind: type[S], invocation: Invocation, now: float, **news: Any) -> S:
    return status_entry(kind, invocation.registration, invocation.state, now=now, cause=invocation.latest.id, **news)
