"""The worker: claims what it can run, runs it, and lets each claim be settled."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import suppress
from typing import Any

import msgspec

from trigger_engine.app import TriggerEngine
from trigger_engine.core.lifecycle import InvocationState, move
from trigger_engine.entries.facts import Position, Started, TriggerFired
from trigger_engine.errors import BackendUnavailable
from trigger_engine.log.claims import started
from trigger_engine.log.contract import Claims, Invocation
from trigger_engine.runner.attempt import Attempt, Timers
from trigger_engine.runner.callables import describe
from trigger_engine.runner.processes import ChildProcesses
from trigger_engine.runner.settling import Settler, handed_back
from trigger_engine.runner.threads import Threads
from trigger_engine.session import Session
from trigger_engine.task import Task

logger = logging.getLogger(__name__)
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
        self._ended_meanwhile: set[str] = set()
        self._settler = Settler(app, session, self._settled)
        self._claiming: asyncio.Task[Any] | None = None
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
        self._claiming = asyncio.current_task()
        while True:
            if self.busy >= self._app.settings.concurrency:
                self._freed.clear()
                await self._freed.wait()
            await self.claim_once(wait=1.0)

    async def claim_once(self, *, wait: float) -> bool:
        """One claim, waiting up to `wait` seconds for work; starts what it brings and says whether it did anything."""
        self._ended_meanwhile.clear()
        claims = await self._claim_what_fits(wait)
        # An answer may be overtaken by that of a settlement: what it tells of may have ended here.
        stranded = [each for each in claims.stranded if each.state.claim_id not in self._ended_meanwhile]
        for invocation in (*claims.started, *stranded):
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
        """Runs what was reserved and is now in the log, unless the worker has ended meanwhile."""
        if start.claim_id not in self._held:
            return
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
        try:
            if not await self._is_idle_within(timeout):
                for attempt in self.attempts():
                    attempt.stop("shutdown")
                if not await self._is_idle_within(_LAST_SETTLE):
                    # Neither a task that ignores its cancellation nor a backend that is away may keep the runner.
                    self._settler.close()
                    self._abandon_hanging()
            await self._hand_back_stranded()
        finally:
            self._threads.close()

    async def _is_idle_within(self, seconds: float) -> bool:
        """Waits until nothing runs or is to be settled, but no longer than that."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + seconds
        while self._held and loop.time() < deadline:
            self._freed.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout_at(deadline):
                    await self._freed.wait()
        return not self._held

    def _abandon_hanging(self) -> None:
        for attempt in self.attempts():
            logger.warning("invocation:%s goes on after the end, what it does is void", attempt.invocation_id)
        self._held.clear()

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
        holding = _Holding(self._held)
        claims = await self._session.log.claim(
            self._runner_id,
            tasks=tasks,
            queues=self._app.settings.queues,
            holding=holding,
            limit=limit,
            wait=wait,
        )
        return msgspec.structs.replace(claims, revoked=claims.revoked & holding.begun)

    async def _hand_back_stranded(self) -> None:
        """A claim that was cut off by the shutdown may have taken work that never arrived here."""
        try:
            async with asyncio.timeout(_LAST_SETTLE):
                for invocation in (await self._claim((), limit=0, wait=0.0)).stranded:
                    await self._session.append_entry(handed_back(invocation, self._app._connections.clock()))
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
            tell=self._settler.settle,
            loop_ends=self._loop_ends,
        )
        self._held[attempt.claim_id] = attempt
        attempt.begin()

    def _in_child(self, task: Task[Any, Any]) -> bool:
        if task.is_async:
            return False
        if task.settings.run_in is not None:
            return task.settings.run_in == "process"
        return self._app.settings.runner_cls == "ProcessRunner"

    def _loop_ends(self) -> bool:
        """True when not only an attempt but everything is cancelled."""
        return self._claiming is not None and (self._claiming.done() or self._claiming.cancelling() > 0)

    def _settled(self, attempt: Attempt) -> None:
        self._held.pop(attempt.claim_id, None)
        self._ended_meanwhile.add(attempt.claim_id)
        self._freed.set()
        self.finished += 1


class _Holding(Collection[str]):
    """The claim ids of a worker, as they are when the log reads them.

    `begun`: those of attempts that ran when it read them last. What was reserved then may not have been in the log yet,
    so that the log takes it for lost.
    """

    def __init__(self, held: Mapping[str, Attempt | None]) -> None:
        self._held = held
        self.begun: frozenset[str] = frozenset()

    def __iter__(self) -> Iterator[str]:
        self.begun = frozenset(claim_id for claim_id, attempt in self._held.items() if attempt is not None)
        return iter(list(self._held))

    def __len__(self) -> int:
        return len(self._held)

    def __contains__(self, claim_id: object) -> bool:
        return claim_id in self._held
