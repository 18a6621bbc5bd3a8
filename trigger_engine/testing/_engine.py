"""TestEngine: runs an app in memory, on a clock that the test controls."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import Any, Self

from trigger_engine._app.app import TriggerEngine
from trigger_engine._client.connections import Connections
from trigger_engine._client.task import Task
from trigger_engine._runtime.heartbeat import runner_facts
from trigger_engine._runtime.leader.election import Election
from trigger_engine._runtime.task_modules import TaskModules
from trigger_engine._runtime.worker.attempt import Attempt, CodePosition
from trigger_engine._runtime.worker.processes import ChildProcesses
from trigger_engine._runtime.worker.worker import Worker
from trigger_engine._storage.memory.log import MemoryLog, MemTrigger
from trigger_engine.backend._ids import fresh_id
from trigger_engine.errors import TaskFailed
from trigger_engine.testing._clock import ManualClock
from trigger_engine.testing._observed import FiredRun, Observed, RejectedRun

_START = datetime(2025, 1, 1, tzinfo=UTC)
_FOREVER = 1e12
_POLL = 0.01
_PATIENCE = 1.0
_PARKED_PATIENCE = 0.02
_STUCK_AFTER = 30.0


class UnexpectedFailure(AssertionError):
    """Tasks failed or trigger runs were rejected in a test without `allow_failures`."""


class StuckTask(AssertionError):
    """A `def` task did not end, so the test would wait forever."""


class TestEngine:
    """Runs `app` in memory and on the test's clock while entered. Nothing runs outside the methods below.

    `allow_failures`: if False, leaving raises UnexpectedFailure when tasks failed or runs were rejected.
    `start`: the clock's first time, an aware datetime; default 2025-01-01 UTC.
    `patience`: real seconds without progress after which `run_until_idle` treats an async task as waiting for the
    clock or for the test.
    `stuck_after`: real seconds without progress after which `run_until_idle` raises StuckTask for a `def` task that
    has no timeout.
    """

    __test__ = False

    def __init__(
        self,
        app: TriggerEngine,
        *,
        allow_failures: bool = False,
        start: datetime = _START,
        patience: float = _PATIENCE,
        stuck_after: float = _STUCK_AFTER,
    ) -> None:
        self.app = app
        self._allow_failures = allow_failures
        self._patience = patience
        self._stuck_after = stuck_after
        self._clock = ManualClock(start.timestamp())
        self._observed = Observed(app)
        self._runner_id = fresh_id()
        self._parked: dict[str, CodePosition] = {}
        self._host: asyncio.Task[None] | None = None
        self._leave = asyncio.Event()

    @property
    def now(self) -> datetime:
        """The test's current time, an aware datetime in UTC."""
        return datetime.fromtimestamp(self._clock.now, UTC)

    async def __aenter__(self) -> Self:
        ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        # A lifespan must be entered and exited in the same task, but callers may use different ones.
        self._host = asyncio.create_task(self._host_app(ready), name="trigger-engine test")
        await asyncio.wait([ready, self._host], return_when=asyncio.FIRST_COMPLETED)
        if not ready.done():
            await self._host
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        assert self._host is not None
        self._leave.set()
        await self._host
        if exc is None and not self._allow_failures:
            self._raise_failures()

    async def run_until_idle(self) -> None:
        """Evaluates, fires and runs everything that is due now. Retries, timeouts and cron wait for `advance`.

        Raises StuckTask.
        """
        quiet_since = self._real_time()
        while True:
            if await self._step():
                quiet_since = self._real_time()
                self._parked = {}
                continue
            if not self._worker.busy:
                break
            before = self._worker.finished
            await self._wait_for_tasks()
            if self._worker.finished != before:
                quiet_since = self._real_time()
            elif self._is_parked(self._real_time() - quiet_since):
                self._parked = {attempt.claim_id: attempt.code_position() for attempt in self._worker.attempts()}
                break
        await self._observe()

    async def advance(self, delta: timedelta | None = None, **units: float) -> None:
        """Advances the clock, by a timedelta or its keywords: `advance(minutes=30)`. Runs everything when it is due.

        Raises ValueError for a negative step, StuckTask.
        """
        step = (delta or timedelta()) + timedelta(**units)
        if step < timedelta():
            raise ValueError(f"advance({step}): the clock only moves forward; pass an earlier `start` instead")
        target = self._clock.now + step.total_seconds()
        await self.run_until_idle()
        while (due := self._next_due()) is not None and due <= target:
            self._clock.move_to(due)
            await self.run_until_idle()
        self._clock.move_to(target)
        await self.run_until_idle()

    def calls(self, task: Task[Any, Any] | str) -> list[dict[str, Any]]:
        """The arguments of each ended invocation of a task, in the order they ended."""
        task_id = task if isinstance(task, str) else task.task_id
        ended = [entry for entry in self._observed.finished if entry.task_id == task_id]
        return [self._observed.arguments(task_id, entry.arguments) for entry in ended]

    def failures(self) -> list[TaskFailed]:
        """A TaskFailed error for each invocation that ended FAILED."""
        return list(self._observed.failures)

    def runs(self, task: Task[Any, Any] | str | None = None) -> list[FiredRun]:
        """Every trigger run that started an invocation, of one task or of all."""
        task_id = task.task_id if isinstance(task, Task) else task
        return [run for run in self._observed.runs if task_id is None or run.task_id == task_id]

    def rejected(self) -> list[RejectedRun]:
        """Every rejected trigger run."""
        return list(self._observed.rejected)

    async def _host_app(self, ready: asyncio.Future[None]) -> None:
        original = self.app._internals.connections
        backend = MemTrigger(app_id=self.app.app_id, steady=self._clock)
        self.app._internals.connections = Connections(backend, self._clock, steady=self._clock)
        try:
            async with AsyncExitStack() as stack:
                await self._set_up(stack)
                ready.set_result(None)
                await self._leave.wait()
                await self._election.resign()
                await self._worker.drain(0.0)
        finally:
            self.app._internals.connections = original

    async def _set_up(self, stack: AsyncExitStack) -> None:
        modules = TaskModules(self.app._internals)
        modules.import_configured()
        await stack.enter_async_context(self.app)
        if self.app._internals.lifespan is not None:
            await stack.enter_async_context(self.app._internals.lifespan())
        self._session = await self.app._internals.connections.session()
        self._cursor = await self._session.log.start()
        children = ChildProcesses(self.app._internals, self.app._internals.settings.concurrency)
        stack.push_async_callback(children.close)
        self._worker = Worker(
            self.app._internals,
            self._session,
            self._runner_id,
            timers=self._clock,
            children=children,
            unknown_tasks=modules.import_for,
        )
        self._election = Election(self.app._internals, self._session, self._runner_id, self._clock.now, self._worker)

    async def _step(self) -> bool:
        facts = runner_facts(self.app._internals, self._runner_id, self._clock.now)
        await self._session.log.heartbeat(facts, ttl=_FOREVER)
        led = await self._election.step(wait=0.0)
        if self._worker.busy >= self.app._internals.settings.concurrency:
            return led
        return await self._worker.claim_once(wait=0.0) or led

    async def _wait_for_tasks(self) -> None:
        finished = self._worker.finished
        for _ in range(3):
            await asyncio.sleep(0)
            if self._worker.finished != finished:
                return
        await asyncio.sleep(_POLL)

    def _is_parked(self, quiet: float) -> bool:
        attempts = self._worker.attempts()
        blocking = [one for one in attempts if not one.task.is_async and one.task.settings.timeout is None]
        if blocking:
            if quiet >= self._stuck_after:
                raise StuckTask(_stuck(blocking[0], self._stuck_after))
            return False
        known = all(self._parked.get(attempt.claim_id) == attempt.code_position() for attempt in attempts)
        return quiet >= (_PARKED_PATIENCE if known else self._patience)

    async def _observe(self) -> None:
        while True:
            batch = await self._session.log.follow(self._cursor)
            if not batch.entries:
                return
            for _, entry in batch.entries:
                self._observed.take(entry)
            self._cursor = batch.cursor

    def _next_due(self) -> float | None:
        log = self._session.log
        assert isinstance(log, MemoryLog)
        term = self._election.term
        cron = term.schedules.next_due(term.matcher.cron_conditions()) if term is not None else None
        due = [time for time in (self._clock.next_due(), log.next_due(), cron) if time is not None]
        future = [time for time in due if time > self._clock.now]
        return min(future, default=None)

    @staticmethod
    def _real_time() -> float:
        return asyncio.get_running_loop().time()

    def _raise_failures(self) -> None:
        lines = [f"{failure}\n{failure.traceback}" for failure in self._observed.failures]
        lines += [
            f"trigger-run:{run.run_id} of {run.trigger_id} was rejected: {run.error}" for run in self._observed.rejected
        ]
        if lines:
            listed = "\n".join(lines)
            raise UnexpectedFailure(f"{listed}\n(if this is expected, use TestEngine(app, allow_failures=True))")


def _stuck(attempt: Attempt, seconds: float) -> str:
    return (
        f"invocation:{attempt.invocation_id} of {attempt.task.task_id} is still running, and nothing ended for "
        f"{seconds:g} s: a def task cannot be left waiting; release it in the test, give it a timeout, or set "
        "TestEngine(app, stuck_after=…) if it needs that long"
    )
