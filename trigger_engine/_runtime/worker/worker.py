"""The worker: claims invocations, runs them, and settles the claims."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import suppress
from typing import Any

import msgspec

from trigger_engine._client.connections import Session
from trigger_engine._client.internals import AppInternals
from trigger_engine._declare.task_definition import TaskDefinition
from trigger_engine._engine.lifecycle import InvocationState, move
from trigger_engine._model.entries import Position, Started, TriggerFired
from trigger_engine._runtime.user_calls import describe
from trigger_engine._runtime.worker.attempt import Attempt, Timers
from trigger_engine._runtime.worker.processes import ChildProcesses
from trigger_engine._runtime.worker.settling import Settler, handed_back
from trigger_engine._runtime.worker.threads import Threads
from trigger_engine.backend._claim_tracking import start_entry
from trigger_engine.backend._contract import Claims, Invocation
from trigger_engine.errors import BackendUnavailable

logger = logging.getLogger(__name__)
_FINAL_SETTLE_TIMEOUT = 5.0
"""Seconds for stopped attempts to end and be settled."""
_BUSY_CHILDREN_WAIT = 0.05


class Worker:
    """Runs invocations for one runner, at most `concurrency` at a time.

    `children` runs tasks in child processes. `unknown_tasks` is called with the ids of undeclared tasks that have work
    waiting, and returns whether it could import any of them.
    """

    def __init__(
        self,
        internals: AppInternals,
        session: Session,
        runner_id: str,
        *,
        timers: Timers,
        children: ChildProcesses,
        unknown_tasks: Callable[[frozenset[str]], bool],
    ) -> None:
        self._internals = internals
        self._session = session
        self._runner_id = runner_id
        self._timers = timers
        self._children = children
        self._unknown_tasks = unknown_tasks
        self._threads = Threads("trigger-engine task")
        self._held: dict[str, Attempt | None] = {}
        self._recently_ended: set[str] = set()
        self._settler = Settler(internals, session, self._settled)
        self._claiming: asyncio.Task[Any] | None = None
        self._freed = asyncio.Event()
        self.finished = 0

    @property
    def busy(self) -> int:
        """The number of occupied slots: running attempts and reserved starts."""
        return len(self._held)

    def attempts(self) -> list[Attempt]:
        """The running attempts."""
        return [attempt for attempt in self._held.values() if attempt is not None]

    async def run(self) -> None:
        """Claims and runs work until cancelled. Call `drain` afterwards."""
        self._claiming = asyncio.current_task()
        while True:
            if self.busy >= self._internals.settings.concurrency:
                self._freed.clear()
                await self._freed.wait()
            await self.claim_once(wait=1.0)

    async def claim_once(self, *, wait: float) -> bool:
        """Claims once, waiting up to `wait` seconds for work, and starts it; returns whether anything changed."""
        self._recently_ended.clear()
        claims = await self._claim_for_free_slots(wait)
        # A settlement may finish before the claim returns: its invocation is not stranded, but ended.
        stranded = [one for one in claims.stranded if one.state.claim_id not in self._recently_ended]
        for invocation in (*claims.started, *stranded):
            self._start(invocation)
        self._stop_revoked(claims)
        learned = bool(claims.unknown) and self._unknown_tasks(claims.unknown)
        return bool(claims.started or claims.stranded or claims.revoked or learned)

    def reserve(self, fired: TriggerFired) -> Started | None:
        """Reserves a slot and returns the run's start, to be appended after `fired`; None if it cannot run here now.

        The slot stays occupied until `begin` or `release`.
        """
        task = self._internals.registry.tasks.get(fired.task_id)
        queues = self._internals.settings.queues
        if task is None or self._in_child(task) or (queues and fired.queue not in queues):
            return None
        if self.busy >= self._internals.settings.concurrency:
            return None
        start = start_entry(
            fired, InvocationState(), runner_id=self._runner_id, now=self._internals.connections.clock()
        )
        self._held[start.claim_id] = None
        return start

    def begin(self, fired: TriggerFired, start: Started, position: Position) -> None:
        """Runs a reserved start that is now in the log, unless the worker has stopped in the meantime."""
        if start.claim_id not in self._held:
            return
        state = move(InvocationState(), start, position)
        assert isinstance(state, InvocationState)
        self._start(Invocation(fired, position, state, start))

    def release(self, start: Started) -> None:
        """Frees a reserved slot."""
        if self._held.get(start.claim_id, self) is None:
            del self._held[start.claim_id]
            self._freed.set()

    async def stop_revoked(self) -> None:
        """Stops attempts whose claims were revoked because the invocation was cancelled or recovered."""
        if self._held:
            self._stop_revoked(await self._claim((), limit=0, wait=0.0))

    async def drain(self, timeout: float) -> None:
        """Waits up to `timeout` seconds for running attempts, then stops them and returns them to the queue."""
        try:
            if not await self._is_idle_within(timeout):
                for attempt in self.attempts():
                    attempt.stop("shutdown")
                if not await self._is_idle_within(_FINAL_SETTLE_TIMEOUT):
                    # Neither a task that ignores its cancellation nor an unavailable backend may block shutdown.
                    self._settler.close()
                    self._abandon_running()
            await self._hand_back_stranded()
        finally:
            self._threads.close()

    async def _is_idle_within(self, seconds: float) -> bool:
        """Waits up to `seconds` for all attempts to be settled; returns whether they are."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + seconds
        while self._held and loop.time() < deadline:
            self._freed.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout_at(deadline):
                    await self._freed.wait()
        return not self._held

    def _abandon_running(self) -> None:
        for attempt in self.attempts():
            logger.warning("invocation:%s is still running after shutdown; its outcome is void", attempt.invocation_id)
        self._held.clear()

    async def _claim_for_free_slots(self, wait: float) -> Claims:
        """Claims up to the number of free slots, and no more child-process tasks than there are free children."""
        free = self._internals.settings.concurrency - self.busy
        tasks = self._internals.registry.tasks
        in_process = [name for name, task in tasks.items() if not self._in_child(task)]
        if len(in_process) == len(tasks):
            return await self._claim(in_process, limit=free, wait=wait)
        claims = await self._claim(in_process, limit=free, wait=0.0)
        if claims.started or claims.stranded:
            return claims
        children = self._children.limit - sum(self._in_child(attempt.task) for attempt in self.attempts())
        if children <= 0:
            return await self._claim(in_process, limit=free, wait=min(wait, _BUSY_CHILDREN_WAIT))
        return await self._claim(tasks, limit=min(free, children), wait=wait)

    async def _claim(self, tasks: Collection[str], *, limit: int, wait: float) -> Claims:
        holding = _Holding(self._held)
        claims = await self._session.log.claim(
            self._runner_id,
            tasks=tasks,
            queues=self._internals.settings.queues,
            holding=holding,
            limit=limit,
            wait=wait,
        )
        return msgspec.structs.replace(claims, revoked=claims.revoked & holding.running)

    async def _hand_back_stranded(self) -> None:
        """Returns work to the queue that a claim cancelled by the shutdown may have taken."""
        try:
            async with asyncio.timeout(_FINAL_SETTLE_TIMEOUT):
                for invocation in (await self._claim((), limit=0, wait=0.0)).stranded:
                    await self._session.append((handed_back(invocation, self._internals.connections.clock()),))
        except (BackendUnavailable, TimeoutError) as exc:
            logger.warning(
                "runner:%s could not return its work to the queue, recovery will: %s", self._runner_id, describe(exc)
            )

    def _stop_revoked(self, claims: Claims) -> None:
        for claim_id in claims.revoked:
            attempt = self._held.get(claim_id)
            # The attempt may have ended, with its settlement still in flight.
            if attempt is not None and not attempt.ended:
                logger.info("invocation:%s was cancelled or recovered: stopping it", attempt.invocation_id)
                attempt.stop("revoked")

    def _start(self, invocation: Invocation) -> None:
        if self._held.get(invocation.state.claim_id) is not None:
            return
        task = self._internals.registry.tasks[invocation.registration.task_id]
        attempt = Attempt(
            task,
            invocation,
            app_id=self._internals.app_id,
            timers=self._timers,
            threads=self._threads,
            children=self._children if self._in_child(task) else None,
            max_bytes=self._internals.settings.max_payload_bytes,
            on_end=self._settler.settle,
            is_shutting_down=self._is_shutting_down,
        )
        self._held[attempt.claim_id] = attempt
        attempt.start()

    def _in_child(self, task: TaskDefinition) -> bool:
        if task.is_async:
            return False
        if task.settings.run_in is not None:
            return task.settings.run_in == "process"
        return self._internals.settings.runner_cls == "ProcessRunner"

    def _is_shutting_down(self) -> bool:
        """True if the worker itself is being cancelled, not only one attempt."""
        return self._claiming is not None and (self._claiming.done() or self._claiming.cancelling() > 0)

    def _settled(self, attempt: Attempt) -> None:
        self._held.pop(attempt.claim_id, None)
        self._recently_ended.add(attempt.claim_id)
        self._freed.set()
        self.finished += 1


class _Holding(Collection[str]):
    """A live view of a worker's claim ids.

    `running`: the claim ids of attempts that were running at the last iteration. Reserved starts may not have been in
    the log yet, in which case the log reports them as revoked.
    """

    def __init__(self, held: Mapping[str, Attempt | None]) -> None:
        self._held = held
        self.running: frozenset[str] = frozenset()

    def __iter__(self) -> Iterator[str]:
        self.running = frozenset(claim_id for claim_id, attempt in self._held.items() if attempt is not None)
        return iter(list(self._held))

    def __len__(self) -> int:
        return len(self._held)

    def __contains__(self, claim_id: object) -> bool:
        return claim_id in self._held
