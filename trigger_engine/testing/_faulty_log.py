"""A log that wraps another one and fails as a test's script says."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from trigger_engine._app.app import TriggerEngine
from trigger_engine._client.connections import Connections
from trigger_engine._finishing import finish
from trigger_engine.backend._contract import (
    Backend,
    Batch,
    Checkpoint,
    Claims,
    Clock,
    Cursor,
    EventLog,
    Invocation,
    Outcome,
    Part,
    RunnerFacts,
    RunnerRow,
)
from trigger_engine.testing._faults import Faults


class FaultyLog(EventLog):
    """Delegates to the `inner` log, subject to `faults`."""

    def __init__(self, inner: EventLog, faults: Faults) -> None:
        self.inner = inner
        self._faults = faults

    @property
    def log_id(self) -> str:  # type: ignore[override]
        """The inner log's identity."""
        return self.inner.log_id

    @property
    def refuses_void(self) -> bool:  # type: ignore[override]
        """Same as the inner log."""
        return self.inner.refuses_void

    @property
    def refuses_stale(self) -> bool:  # type: ignore[override]
        """Same as the inner log."""
        return self.inner.refuses_stale

    @property
    def dense_positions(self) -> bool:  # type: ignore[override]
        """Same as the inner log."""
        return self.inner.dense_positions

    @property
    def resends(self) -> bool:  # type: ignore[override]
        """Same as the inner log."""
        return self.inner.resends

    async def append(self, parts: Sequence[Part]) -> list[Outcome]:
        return await self._faults.around("append", lambda: self.inner.append(parts), parts)

    async def follow(self, after: Cursor, *, limit: int = 1000, wait: float = 0.0) -> Batch:
        return await self._faults.around("follow", lambda: self.inner.follow(after, limit=limit, wait=wait))

    async def tail(self) -> Cursor:
        return await self._faults.around("tail", self.inner.tail)

    async def start(self) -> Cursor:
        return await self._faults.around("start", self.inner.start)

    async def claim(
        self,
        runner_id: str,
        *,
        tasks: Collection[str],
        queues: Collection[str],
        holding: Collection[str],
        limit: int,
        wait: float = 0.0,
    ) -> Claims:
        return await self._faults.around(
            "claim",
            lambda: self.inner.claim(runner_id, tasks=tasks, queues=queues, holding=holding, limit=limit, wait=wait),
        )

    async def heartbeat(self, facts: RunnerFacts, *, ttl: float) -> None:
        await self._faults.around("heartbeat", lambda: self.inner.heartbeat(facts, ttl=ttl))

    async def leave(self, runner_id: str) -> None:
        await self._faults.around("leave", lambda: self.inner.leave(runner_id))

    async def runners(self) -> list[RunnerRow]:
        return await self._faults.around("runners", self.inner.runners)

    async def orphans(self, *, limit: int = 1000) -> list[Invocation]:
        return await self._faults.around("orphans", lambda: self.inner.orphans(limit=limit))

    async def acquire(self, name: str, owner: str, *, ttl: float) -> bool:
        return await self._faults.around("acquire", lambda: self.inner.acquire(name, owner, ttl=ttl))

    async def release(self, name: str, owner: str) -> None:
        await self._faults.around("release", lambda: self.inner.release(name, owner))

    async def save_checkpoint(self, name: str, checkpoint: Checkpoint) -> bool:
        return await self._faults.around("save_checkpoint", lambda: self.inner.save_checkpoint(name, checkpoint))

    async def load_checkpoint(self, name: str) -> Checkpoint | None:
        return await self._faults.around("load_checkpoint", lambda: self.inner.load_checkpoint(name))

    async def invocation(self, invocation_id: str) -> Invocation | None:
        return await self._faults.around("invocation", lambda: self.inner.invocation(invocation_id))

    async def trim(self, before: Cursor, *, keys_before: float, limit: int = 10_000) -> int:
        return await self._faults.around("trim", lambda: self.inner.trim(before, keys_before=keys_before, limit=limit))

    async def clear(self) -> None:
        await self._faults.around("clear", self.inner.clear)

    async def close(self) -> None:
        await self.inner.close()


class FaultyBackend(Backend):
    """Opens the `inner` backend's log and wraps it in a `FaultyLog`."""

    def __init__(self, inner: Backend, faults: Faults) -> None:
        super().__init__(inner.settings, app_id=inner.app_id)
        self._inner = inner
        self._faults = faults

    @property
    def name(self) -> str:  # type: ignore[override]
        """Same as the inner backend."""
        return self._inner.name

    @property
    def family(self) -> str:  # type: ignore[override]
        """Same as the inner backend."""
        return self._inner.family

    @property
    def section(self) -> str:  # type: ignore[override]
        """Same as the inner backend."""
        return self._inner.section

    @property
    def shared_between_processes(self) -> bool:  # type: ignore[override]
        """Same as the inner backend."""
        return self._inner.shared_between_processes

    def location(self) -> str:
        return self._inner.location()

    async def open(self, *, clock: Clock) -> EventLog:
        opened: list[EventLog] = []

        async def open_inner() -> None:
            opened.append(await self._inner.open(clock=clock))

        try:
            await self._faults.around("open", open_inner)
        except BaseException:
            for log in opened:
                await finish(log.close())
            raise
        return FaultyLog(opened[0], self._faults)


def inject_faults(app: TriggerEngine, *, seed: int = 0) -> Faults:
    """Makes the app's log fail on demand, and returns the fault script. Call it before entering the app."""
    faults = Faults(seed=seed)
    connections = app._internals.connections
    app._internals.connections = Connections(
        FaultyBackend(connections.backend, faults), connections.clock, steady=connections.steady
    )
    return faults
