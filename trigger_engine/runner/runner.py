"""A runner: leads when it can, works always, beats its heart."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Self

from trigger_engine.app import TriggerEngine
from trigger_engine.core.loops import find_loops, told
from trigger_engine.errors import BackendUnavailable
from trigger_engine.finishing import finish, outlast
from trigger_engine.log.fresh import fresh_id
from trigger_engine.runner.callables import describe
from trigger_engine.runner.heartbeat import runner_facts
from trigger_engine.runner.leader import LAST_WORDS, Leader
from trigger_engine.runner.processes import ChildProcesses
from trigger_engine.runner.task_modules import TaskModules
from trigger_engine.runner.worker import Worker
from trigger_engine.session import Session

logger = logging.getLogger(__name__)
_FIRST_DELAY, _LAST_DELAY = 0.2, 5.0


class Runner:
    """Runs an app's triggers and tasks while it is entered; may be entered and left in different tasks of one loop.

    It survives BackendUnavailable. Any other error ends it: the error is logged, kept in `failed`, and raised at exit.
    """

    def __init__(self, app: TriggerEngine) -> None:
        self._app = app
        self.runner_id = fresh_id()
        self.failed: BaseException | None = None
        self._main: asyncio.Task[None] | None = None
        self._ready: asyncio.Future[None] | None = None
        self._stopping = asyncio.Event()
        self._shutdown_timeout = app.settings.shutdown_timeout
        self._worker: Worker | None = None

    def __repr__(self) -> str:
        return f"<Runner runner:{self.runner_id} of {self._app.app_id!r}>"

    async def __aenter__(self) -> Self:
        """Starts it; it has imported the task modules, entered the lifespan and said hello when this returns.

        Unless another runner leads, its triggers are in force then.

        Raises ConfigError, UnknownTask, DeclarationError, and what task modules or the lifespan raise.
        """
        if self._main is not None:
            raise RuntimeError(f"runner:{self.runner_id} was entered before: make a new one with app.runner()")
        self._app._connections.enter(self)
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
        """Stops gracefully within `shutdown_timeout`. Raises what made the runner fail."""
        await self._stop()
        if self.failed is not None:
            raise self.failed

    def stop_starting(self) -> None:
        """Ends a start that is still under way, such as a lifespan that hangs: `async with` raises CancelledError."""
        if self._main is not None and self._ready is not None and not self._ready.done():
            self._main.cancel()

    def stop_now(self) -> None:
        """Stops without letting tasks finish: they are handed back."""
        self._shutdown_timeout = 0.0
        self._stopping.set()
        if self._worker is not None:
            for attempt in self._worker.attempts():
                attempt.stop("shutdown")

    async def wait_ended(self) -> None:
        """Returns when the runner has ended, by itself or because it was stopped."""
        if self._main is not None:
            await asyncio.wait([self._main])

    async def _stop(self) -> None:
        assert self._main is not None
        self._stopping.set()
        try:
            await asyncio.wait([self._main])
        except asyncio.CancelledError:
            self._main.cancel()
            await outlast(self._main)
            raise
        finally:
            await self._app._connections.leave(self)

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
        modules = TaskModules(self._app)
        modules.import_configured()
        self._warn_of_loops()
        if self._app.lifespan is not None:
            await stack.enter_async_context(self._app.lifespan(self._app))
        session = await self._app._connections.session()
        children = ChildProcesses(self._app, self._app.settings.process_workers or os.cpu_count() or 1)
        stack.push_async_callback(children.close)
        started_at = self._app._connections.clock()
        worker = self._worker = Worker(
            self._app,
            session,
            self.runner_id,
            timers=asyncio.get_running_loop(),
            children=children,
            unknown_tasks=modules.learn,
        )
        leader = Leader(self._app, session, self.runner_id, started_at, worker)
        await self._serve(session, leader, worker, started_at, ready)

    def _warn_of_loops(self) -> None:
        for loop in find_loops(self._app.registry.triggers.values()):
            logger.warning(
                "triggers form a loop: %s; unless a filter ends it, each turn starts the next, up to "
                "max_chain_length=%d links",
                told(loop),
                self._app.settings.max_chain_length,
            )

    async def _lead_if_free(self, leader: Leader) -> None:
        """Puts new triggers in force before it works and before anyone counts on them, unless another runner leads."""
        try:
            await leader.step(wait=0.0)
        except BackendUnavailable as exc:
            logger.warning("runner:%s could not try to lead yet: %s", self.runner_id, exc)

    async def _serve(
        self, session: Session, leader: Leader, worker: Worker, started_at: float, ready: asyncio.Future[None]
    ) -> None:
        try:
            await self._beat(session, leader, started_at)
            async with asyncio.TaskGroup() as group:
                beating = group.create_task(
                    self._surviving(lambda: self._keep_beating(session, leader, worker, started_at))
                )
                loops = [group.create_task(self._surviving(leader.keep_lease))]
                await self._lead_if_free(leader)
                logger.info("runner:%s is up: %r, %d tasks", self.runner_id, self._app, len(self._app.registry.tasks))
                ready.set_result(None)
                loops += [group.create_task(self._surviving(run)) for run in (leader.run, worker.run)]
                await self._stopping.wait()
                for running in loops:
                    running.cancel()
                await asyncio.wait(loops)
                await leader.resign()
                await worker.drain(self._shutdown_timeout)
                beating.cancel()
        except BaseExceptionGroup as group_error:
            raise group_error.exceptions[0] from None
        finally:
            # Its own task is cancelled when whoever stops it is in a hurry; what it holds is given back all the same.
            await finish(self._give_back(session, leader, worker))

    async def _give_back(self, session: Session, leader: Leader, worker: Worker) -> None:
        try:
            await leader.resign()
        finally:
            try:
                await worker.drain(0.0)
            finally:
                await self._say_goodbye(session)

    async def _surviving(self, run: Callable[[], Awaitable[None]]) -> None:
        """Runs a loop again when the backend was not reachable, after a growing pause."""
        delay = _FIRST_DELAY
        while True:
            begun = asyncio.get_running_loop().time()
            try:
                await run()
            except asyncio.CancelledError:
                if not self._stopping.is_set():
                    # Without this part the others must not go on: the lease would be kept, and nobody would lead.
                    logger.warning("runner:%s stops: a task of it was cancelled", self.runner_id)
                    self._stopping.set()
                raise
            except BackendUnavailable as exc:
                calm = asyncio.get_running_loop().time() - begun > _LAST_DELAY
                delay = _FIRST_DELAY if calm else min(delay * 2, _LAST_DELAY)
                logger.warning("runner:%s goes on in %.1f s: %s", self.runner_id, delay, exc)
                await asyncio.sleep(delay)

    async def _keep_beating(self, session: Session, leader: Leader, worker: Worker, started_at: float) -> None:
        while True:
            await asyncio.sleep(self._app.settings.heartbeat_interval)
            await self._beat(session, leader, started_at)
            await worker.stop_revoked()

    async def _beat(self, session: Session, leader: Leader, started_at: float) -> None:
        facts = runner_facts(self._app, self.runner_id, started_at, leader.timings.slowest())
        await session.log.heartbeat(facts, ttl=self._app.settings.heartbeat_ttl)

    async def _say_goodbye(self, session: Session) -> None:
        try:
            async with asyncio.timeout(LAST_WORDS):
                await session.log.leave(self.runner_id)
        except (BackendUnavailable, TimeoutError) as exc:
            logger.warning("runner:%s could not say goodbye: %s", self.runner_id, describe(exc))
        logger.info("runner:%s has stopped", self.runner_id)
