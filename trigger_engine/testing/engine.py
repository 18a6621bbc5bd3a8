"""TestEngine: an app on memory and on a clock that the test steers."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import Any, Self

from trigger_engine.app import TriggerEngine
from trigger_engine.errors import TaskFailed
from trigger_engine.log.fresh import fresh_id
from trigger_engine.log.memory import MemoryLog, MemTrigger
from trigger_engine.runner.attempt import Attempt, Place
from trigger_engine.runner.heartbeat import runner_facts
from trigger_engine.runner.leader import Leader
from trigger_engine.runner.processes import ChildProcesses
from trigger_engine.runner.task_modules import TaskModules
from trigger_engine.runner.worker import Worker
from trigger_engine.session import Connections
from trigger_engine.task import Task
from trigger_engine.testing.observed import FiredRun, Observed, RejectedRun
from trigger_engine.testing.steered import SteeredClock

_START = datetime(2025, 1, 1, tzinfo=UTC)
_FOREVER = 1e12
_POLL = 0.01
_PATIENCE = 1.0
_PARKED_PATIENCE = 0.02
_STUCK_AFTER = 30.0


class UnexpectedFailure(AssertionError):
    """Tasks failed or trigger runs were rejected in a test that does not allow failures."""


class StuckTask(AssertionError):
    """A `def` task did not end, so that the test would wait for ever."""


class TestEngine:
    """While entered, `app` runs on memory and on the test's clock; nothing runs but in the calls below.

    `allow_failures`: do not raise at exit when tasks failed or runs were rejected. `start`: where the clock stands,
    aware; default 2025-01-01 UTC. `patience`: real seconds that `run_until_idle` waits for an async task that makes no
    progress before it takes it to be waiting for the clock or for the test. `stuck_after`: real seconds that it waits
    for a `def` task without a timeout, which nothing can tell from one that computes, before it raises StuckTask.
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
        self._clock = SteeredClock(start.timestamp())
        self._observed = Observed(app)
        self._runner_id = fresh_id()
        self._parked: dict[str, Place] = {}
        self._host: asyncio.Task[None] | None = None
        self._leave = asyncio.Event()

    @property
    def now(self) -> datetime:
        """The test's time, aware, UTC."""
        return datetime.fromtimestamp(self._clock.now, UTC)

    async def __aenter__(self) -> Self:
        ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        # One task enters and leaves the app's lifespan, whatever tasks enter and leave this object.
        self._host = asyncio.create_task(self._stay(ready), name="trigger-engine test")
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
        """Judges, fires and runs all that is due now; retries, timeouts and cron wait for `advance`.

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
                self._parked = {attempt.claim_id: attempt.place() for attempt in self._worker.attempts()}
                break
        await self._observe()

    async def advance(self, delta: timedelta | None = None, **units: float) -> None:
        """Moves the clock: `advance(minutes=30)` or a timedelta; on the way everything runs when it is due.

        Raises ValueError for a step back, StuckTask.
        """
        step = (delta or timedelta()) + timedelta(**units)
        if step < timedelta():
            raise ValueError(f"advance({step}): the clock moves only forward; give another start to begin earlier")
        target = self._clock.now + step.total_seconds()
        await self.run_until_idle()
        while (due := self._next_due()) is not None and due <= target:
            self._clock.move_to(due)
            await self.run_until_idle()
        self._clock.move_to(target)
        await self.run_until_idle()

    def calls(self, task: Task[Any, Any] | str) -> list[dict[str, Any]]:
        """The arguments of each ended invocation of a task, in the order in which they ended."""
        task_id = task if isinstance(task, str) else task.task_id
        ended = [entry for entry in self._observed.finished if entry.task_id == task_id]
        return [self._observed.arguments(task_id, entry.arguments) for entry in ended]

    def failures(self) -> list[TaskFailed]:
        """Every invocation that ended FAILED."""
        return list(self._observed.failures)

    def runs(self, task: Task[Any, Any] | str | None = None) -> list[FiredRun]:
        """Every trigger run, of one task or of all."""
        task_id = task.task_id if isinstance(task, Task) else task
        return [run for run in self._observed.runs if task_id is None or run.task_id == task_id]

    def rejected(self) -> list[RejectedRun]:
        """Every rejected trigger run."""
        return list(self._observed.rejected)

    async def _stay(self, ready: asyncio.Future[None]) -> None:
        former = self.app._connections
        backend = MemTrigger(app_id=self.app.app_id, steady=self._clock)
        self.app._connections = Connections(backend, self._clock, steady=self._clock)
        try:
            async with AsyncExitStack() as stack:
                await self._set_up(stack)
                ready.set_result(None)
                await self._leave.wait()
                await self._leader.resign()
                await self._worker.drain(0.0)
        finally:
            self.app._connections = former

    async def _set_up(self, stack: AsyncExitStack) -> None:
        modules = TaskModules(self.app)
        modules.import_configured()
        await stack.enter_async_context(self.app)
        if self.app.lifespan is not None:
            await stack.enter_async_context(self.app.lifespan(self.app))
        self._session = await self.app._connections.session()
        self._bookmark = await self._session.log.start()
        children = ChildProcesses(self.app, self.app.settings.concurrency)
        stack.push_async_callback(children.close)
        self._worker = Worker(
            self.app,
            self._session,
            self._runner_id,
            timers=self._clock,
            children=children,
            unknown_tasks=modules.learn,
        )
        self._leader = Leader(self.app, self._session, self._runner_id, self._clock.now, self._worker)

    async def _step(self) -> bool:
        facts = runner_facts(self.app, self._runner_id, self._clock.now)
        await self._session.log.heartbeat(facts, ttl=_FOREVER)
        led = await self._leader.step(wait=0.0)
        if self._worker.busy >= self.app.settings.concurrency:
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
        known = all(self._parked.get(attempt.claim_id) == attempt.place() for attempt in attempts)
        return quiet >= (_PARKED_PATIENCE if known else self._patience)

    async def _observe(self) -> None:
        while True:
            batch = await self._session.log.follow(self._bookmark)
            if not batch.entries:
                return
            for _, entry in batch.entries:
                self._observed.take(entry)
            self._bookmark = batch.bookmark

    def _next_due(self) -> float | None:
        log = self._session.log
        assert isinstance(log, MemoryLog)
        leadership = self._leader.leadership
        cron = leadership.timekeeper.next_due(leadership.matcher.cron_conditions()) if leadership is not None else None
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
            raise UnexpectedFailure(f"{listed}\n(expected? then say TestEngine(app, allow_failures=True))")


def _stuck(attempt: Attempt, seconds: float) -> str:
    return (
        f"invocation:{attempt.invocation_id} of {attempt.task.task_id} has not ended, and for {seconds:g} s nothing "
        "else has: a def task cannot be left waiting; let the test release it, give it a timeout, or say "
        "TestEngine(app, stuck_after=…) if it takes that long"
    )
