"""A runner: executes tasks, sends heartbeats, and leads when no other runner does."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Self

from trigger_engine._client.connections import Session
from trigger_engine._client.internals import AppInternals
from trigger_engine._engine.loops import describe_loop, find_loops
from trigger_engine._finishing import finish, wait_until_done
from trigger_engine._runtime.heartbeat import runner_facts
from trigger_engine._runtime.leader.election import FINAL_CALL_TIMEOUT, Election
from trigger_engine._runtime.task_modules import TaskModules
from trigger_engine._runtime.user_calls import describe
from trigger_engine._runtime.worker.processes import ChildProcesses
from trigger_engine._runtime.worker.worker import Worker
from trigger_engine.backend._ids import fresh_id
from trigger_engine.errors import BackendUnavailable

logger = logging.getLogger(__name__)
_FIRST_DELAY, _LAST_DELAY = 0.2, 5.0


class Runner:
    """Runs an app's triggers and tasks while entered. Enter and exit may happen in different tasks of one event loop.

    After BackendUnavailable it retries. Any other error stops it: the error is logged, kept in `failed`, and raised at
    exit.
    """

    def __init__(self, internals: AppInternals) -> None:
        self._internals = internals
        self.runner_id: str = fresh_id()
        self.failed: BaseException | None = None
        self._main: asyncio.Task[None] | None = None
        self._ready: asyncio.Future[None] | None = None
        self._stopping = asyncio.Event()
        self._shutdown_timeout = internals.settings.shutdown_timeout
        self._worker: Worker | None = None

    def __repr__(self) -> str:
        return f"<Runner runner:{self.runner_id} of {self._internals.app_id!r}>"

    async def __aenter__(self) -> Self:
        """Starts the runner: imports the task modules, enters the lifespan, and sends the first heartbeat.

        Unless another runner leads, the app's triggers are active when this returns.

        Raises ConfigError, UnknownTask, DeclarationError, and whatever a task module or the lifespan raises.
        """
        if self._main is not None:
            raise RuntimeError(f"runner:{self.runner_id} cannot be entered twice: create another with app.runner()")
        self._internals.connections.enter(self)
        self._ready = asyncio.get_running_loop().create_future()
        self._main = asyncio.create_task(self._run(self._ready), name=f"trigger-engine runner:{self.runner_id}")
        try:
            await asyncio.shield(self._ready)
        except BaseException:
            self.stop_starting()
            await self._stop()
            raise
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        """Stops gracefully within `shutdown_timeout` seconds. Raises the error that stopped the runner, if any."""
        await self._stop()
        if self.failed is not None:
            raise self.failed

    def stop_starting(self) -> None:
        """Cancels a start in progress, for example a hanging lifespan; `async with` then raises CancelledError."""
        if self._main is not None and self._ready is not None and not self._ready.done():
            self._main.cancel()

    def stop_now(self) -> None:
        """Stops without waiting for running tasks, which are returned to the queue."""
        self._shutdown_timeout = 0.0
        self._stopping.set()
        if self._worker is not None:
            for attempt in self._worker.attempts():
                attempt.stop("shutdown")

    async def wait_ended(self) -> None:
        """Returns when the runner has ended, either stopped or failed."""
        if self._main is not None:
            await asyncio.wait([self._main])

    async def _stop(self) -> None:
        assert self._main is not None
        self._stopping.set()
        try:
            await asyncio.wait([self._main])
        except asyncio.CancelledError:
            self._main.cancel()
            await wait_until_done(self._main)
            raise
        finally:
            await self._internals.connections.leave(self)

    async def _run(self, ready: asyncio.Future[None]) -> None:
        try:
            async with AsyncExitStack() as stack:
                await self._start_and_serve(stack, ready)
        except asyncio.CancelledError:
            raise
        except BaseException as exc:
            if not ready.done():
                ready.set_exception(exc)
                return
            logger.exception("runner:%s failed", self.runner_id)
            self.failed = exc
        finally:
            if not ready.done():
                ready.cancel()

    async def _start_and_serve(self, stack: AsyncExitStack, ready: asyncio.Future[None]) -> None:
        modules = TaskModules(self._internals)
        modules.import_configured()
        self._warn_of_loops()
        if self._internals.lifespan is not None:
            await stack.enter_async_context(self._internals.lifespan())
        session = await self._internals.connections.session()
        children = ChildProcesses(self._internals, self._internals.settings.process_workers or os.cpu_count() or 1)
        stack.push_async_callback(children.close)
        started_at = self._internals.connections.clock()
        worker = self._worker = Worker(
            self._internals,
            session,
            self.runner_id,
            timers=asyncio.get_running_loop(),
            children=children,
            unknown_tasks=modules.import_for,
        )
        election = Election(self._internals, session, self.runner_id, started_at, worker)
        await self._serve(session, election, worker, started_at, ready)

    def _warn_of_loops(self) -> None:
        for loop in find_loops(self._internals.registry.triggers.values()):
            logger.warning(
                "triggers form a loop: %s; unless a filter ends it, each run starts the next, up to "
                "max_chain_length=%d links",
                describe_loop(loop),
                self._internals.settings.max_chain_length,
            )

    async def _try_to_lead(self, election: Election) -> None:
        """Tries to lead before the runner is ready, so that its triggers are active by then."""
        try:
            await election.step(wait=0.0)
        except BackendUnavailable as exc:
            logger.warning("runner:%s cannot try to lead yet: %s", self.runner_id, exc)

    async def _serve(
        self, session: Session, election: Election, worker: Worker, started_at: float, ready: asyncio.Future[None]
    ) -> None:
        try:
            await self._send_heartbeat(session, election, started_at)
            async with asyncio.TaskGroup() as group:
                heartbeats = group.create_task(
                    self._with_retries(lambda: self._send_heartbeats(session, election, worker, started_at))
                )
                loops = [group.create_task(self._with_retries(election.keep_lease))]
                await self._try_to_lead(election)
                logger.info(
                    "runner:%s is up: %r, %d tasks",
                    self.runner_id,
                    self._internals,
                    len(self._internals.registry.tasks),
                )
                ready.set_result(None)
                loops += [group.create_task(self._with_retries(run)) for run in (election.run, worker.run)]
                await self._stopping.wait()
                for running in loops:
                    running.cancel()
                await asyncio.wait(loops)
                await election.resign()
                await worker.drain(self._shutdown_timeout)
                heartbeats.cancel()
        except BaseExceptionGroup as group_error:
            raise group_error.exceptions[0] from None
        finally:
            # The runner's task may be cancelled during shutdown; clean-up must complete anyway.
            await finish(self._clean_up(session, election, worker))

    async def _clean_up(self, session: Session, election: Election, worker: Worker) -> None:
        try:
            await election.resign()
        finally:
            try:
                await worker.drain(0.0)
            finally:
                await self._deregister(session)

    async def _with_retries(self, run: Callable[[], Awaitable[None]]) -> None:
        """Restarts a loop, with exponential backoff, whenever the backend is unavailable."""
        delay = _FIRST_DELAY
        while True:
            started = asyncio.get_running_loop().time()
            try:
                await run()
            except asyncio.CancelledError:
                if not self._stopping.is_set():
                    # The others must not continue without this loop: the runner would hold the lease without leading.
                    logger.warning("runner:%s is stopping: one of its tasks was cancelled", self.runner_id)
                    self._stopping.set()
                raise
            except BackendUnavailable as exc:
                stable = asyncio.get_running_loop().time() - started > _LAST_DELAY
                delay = _FIRST_DELAY if stable else min(delay * 2, _LAST_DELAY)
                logger.warning("runner:%s retries in %.1f s: %s", self.runner_id, delay, exc)
                await asyncio.sleep(delay)

    async def _send_heartbeats(self, session: Session, election: Election, worker: Worker, started_at: float) -> None:
        while True:
            await asyncio.sleep(self._internals.settings.heartbeat_interval)
            await self._send_heartbeat(session, election, started_at)
            await worker.stop_revoked()

    async def _send_heartbeat(self, session: Session, election: Election, started_at: float) -> None:
        facts = runner_facts(self._internals, self.runner_id, started_at, election.timings.slowest())
        await session.log.heartbeat(facts, ttl=self._internals.settings.heartbeat_ttl)

    async def _deregister(self, session: Session) -> None:
        try:
            async with asyncio.timeout(FINAL_CALL_TIMEOUT):
                await session.log.leave(self.runner_id)
        except (BackendUnavailable, TimeoutError) as exc:
            logger.warning("runner:%s could not deregister: %s", self.runner_id, describe(exc))
        logger.info("runner:%s has stopped", self.runner_id)
