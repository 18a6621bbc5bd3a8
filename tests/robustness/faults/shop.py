"""An app for scenarios: its place, its tasks, its callers, and what was acknowledged to them."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, Literal, TypeVar

import anyio

from tests.robustness.faults.awaits import sites, source_line
from tests.robustness.faults.watch import Strike, Watch, Way, owner, unwatched
from tests.support import child_tasks
from tests.support.apps import QUICK
from tests.support.reading import entries, entries_of
from tests.support.waiting import wait_until
from trigger_engine import BackendUnavailable, EventContext, TriggerBuilder, TriggerEngine, current_invocation
from trigger_engine._client.connections import Connections
from trigger_engine._client.invocation import Invocation
from trigger_engine._engine.lifecycle import FINAL
from trigger_engine._model.entries import (
    BacklogExceeded,
    EventEmitted,
    InvocationRegistered,
    LeaderElected,
    TriggerFired,
)
from trigger_engine._runtime.leader.term import LEASE
from trigger_engine._runtime.runner import Runner
from trigger_engine._storage.memory.log import MemTrigger
from trigger_engine._storage.sqlite.backend import SQLiteTrigger
from trigger_engine._storage.sqlite.settings import SQLiteSettings
from trigger_engine.backend._contract import Backend, Checkpoint
from trigger_engine.testing import Faults, FaultyBackend, FaultyLog

T = TypeVar("T")
LOST = "a lost runner"
"""Who holds what a scenario lets be lost."""
Kind = Literal["memory", "sqlite"]
KINDS: tuple[Kind, ...] = ("memory", "sqlite")
SETTINGS: dict[str, Any] = {**QUICK, "lease_ttl": 0.3, "heartbeat_ttl": 0.5, "shutdown_timeout": 0.5, "concurrency": 4}


_NEVER = threading.Event()
"""What the leader has to wait for, so that it can be cancelled there."""


class Cut:
    """What came of a caller that was cancelled."""


CUT = Cut()


class Place:
    """Where the data is; it outlives the apps on it."""

    def __init__(self, kind: Kind, folder: Path) -> None:
        self.kind = kind
        self.folder = folder
        self._memory = MemTrigger(app_id="shop")

    def backend(self) -> Backend:
        """The backend of one more app on it."""
        if self.kind == "memory":
            return self._memory
        path = str(self.folder / "shop.db")
        return SQLiteTrigger(SQLiteSettings(path, synchronous="NORMAL"), app_id="shop")


def order_of(context: EventContext) -> dict[str, Any]:
    _NEVER.wait(0.003)
    return {"order": context.payload["order"]}


def is_paid(payload: dict[str, Any]) -> bool:
    _NEVER.wait(0.003)
    return bool(payload["order"] > 0)


class Shop:
    """One app on a place. `events`, `invocations`: the ids that calls have returned. `gate` lets `wait` end."""

    def __init__(
        self, place: Place, watch: Watch | None = None, *, faulty: bool = True, seed: int = 0, **settings: Any
    ) -> None:
        self.place = place
        self._watch = watch
        self.faults = Faults(seed=seed)
        self.events: list[str] = []
        self.invocations: list[str] = []
        self.seen: list[str] = []
        self.gate = asyncio.Event()
        self.offset = 0.0
        self.ticks = self.elections = self.warnings = 0
        self.app = self._make_app(settings)
        backend = place.backend()
        self.app._internals.connections = Connections(
            FaultyBackend(backend, self.faults) if faulty else backend,
            self.clock,
            steady=lambda: time.monotonic() + self.offset,
        )
        self.faults.call("append", behaviour=self._note_election, after=True, entries=LeaderElected)
        self.faults.call("append", behaviour=self._note_warning, after=True, entries=BacklogExceeded)
        if faulty and place.kind == "memory":
            # The memory log never waits by itself: so there is a place to cancel it before and after each step.
            for after in (False, True):
                self.faults.call("*", behaviour=_pause, after=after)

    def _make_app(self, settings: dict[str, Any]) -> TriggerEngine:
        app = TriggerEngine(app_id="shop", trigger_cls="MemTrigger", **{**SETTINGS, **settings})
        self._declare(app)
        return app

    def clock(self) -> float:
        """The app's clock, which a scenario may put forward."""
        return time.time() + self.offset

    def _declare(self, app: TriggerEngine) -> None:
        @app.task(task_id="ship", triggers=TriggerBuilder().on_event("paid", is_paid).with_args_from_event(order_of))
        async def ship(order: int) -> int:
            self.seen.append("ship")
            await asyncio.sleep(0)
            return order

        @app.task(task_id="pack", triggers=TriggerBuilder().on_status("ship"))
        def pack() -> None:
            self.seen.append("pack")

        @app.task(task_id="retried", max_retries=1)
        async def retried() -> None:
            current = current_invocation()
            assert current is not None
            if current.attempt == 1:
                raise ValueError("the first attempt fails")
            self.seen.append("retried")

        @app.task(task_id="wait")
        async def wait() -> None:
            self.seen.append("wait")
            await self.gate.wait()

        @app.task(task_id="stubborn")
        async def stubborn() -> None:
            self.seen.append("stubborn")
            while not self.gate.is_set():
                with suppress(asyncio.CancelledError):
                    await self.gate.wait()

        @app.task(task_id="tick", triggers=TriggerBuilder().on_cron("* * * * *"))
        async def tick() -> None:
            self.ticks += 1

        self.retried, self.wait, self.stubborn = retried, wait, stubborn

    async def _note_election(self) -> None:
        self.elections += 1

    async def _note_warning(self) -> None:
        self.warnings += 1

    @property
    def is_struck(self) -> bool:
        """Whether something has been cancelled, after which not all comes about."""
        return self._watch is not None and any(strike.struck for strike in self._watch.strikes)

    def sibling(self, **settings: Any) -> Shop:
        """Another app on the same place, with faults of its own."""
        return Shop(self.place, **settings)

    def fresh(self) -> Shop:
        """An app as it is after a restart, on a log that does not fail."""
        fresh = Shop(self.place, faulty=False)
        fresh.offset = self.offset
        return fresh

    async def act(self, work: Callable[[], Awaitable[T]], *, limit: float = 60.0) -> T | Cut:
        """Runs a caller's code in a task and a scope of its own; CUT when it was cancelled."""

        async def caller() -> T | Cut:
            with anyio.CancelScope() as scope:
                owner.set(scope)
                return await work()
            return CUT

        calling = asyncio.create_task(caller(), name="caller")
        done, _ = await asyncio.wait([calling], timeout=limit)
        if not done:
            calling.print_stack()
            raise AssertionError(f"a caller has not ended within {limit} s")
        return CUT if calling.cancelled() else calling.result()

    async def emit(self, order: int) -> str:
        """Emits one order, again with the same key while nobody knows what became of it."""
        event_id = await again(lambda: self.app.emit_event("paid", {"order": order}, idempotency_key=f"order-{order}"))
        self.events.append(event_id)
        return event_id

    async def enqueue(self, task: Any, key: str) -> Invocation[Any]:
        """Calls a task, in the same way."""
        return await self.enqueue_with(task, key)

    async def enqueue_with(self, task: Any, key: str, **arguments: Any) -> Invocation[Any]:
        """Calls a task with arguments."""
        invocation: Invocation[Any] = await again(lambda: task.options(idempotency_key=key)(**arguments))
        self.invocations.append(invocation.invocation_id)
        return invocation

    async def let_end(self) -> None:
        """Lets the tasks end that wait."""
        self.gate.set()

    async def clear(self) -> None:
        """Empties the app; what was acknowledged before is gone."""
        self.events.clear()
        self.invocations.clear()
        await (await self.app._internals.connections.session()).log.clear()

    def cancel_at(self, module: str, text: str, way: Way) -> None:
        """Cancels the task that will wait first on the last line with this text."""
        assert self._watch is not None
        *_, site = (site for site in sites() if site.module == module and text in source_line(site))
        self._watch.strikes.append(Strike(site, way))

    async def break_checkpoint(self) -> None:
        """Puts a checkpoint that cannot be read before the others."""
        looking = unwatched.set(True)
        async with self.app:
            log = (await self.app._internals.connections.session()).log
            newest = await log.load_checkpoint(LEASE)
            if newest is not None:
                # Something has to stand behind the newest one: then the broken one is newer.
                await again(lambda: self.app.emit_event("unheard", {}))
                await log.save_checkpoint(LEASE, Checkpoint(newest.term, await log.tail(), b"broken"))
        unwatched.reset(looking)

    async def stored(self, invocation_id: str) -> Any:
        """An invocation as the log has it."""
        looking = unwatched.set(True)
        async with self.app:
            found = await (await self.app._internals.connections.session()).log.invocation(invocation_id)
        unwatched.reset(looking)
        return found

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Runner]:
        """The app entered, and a runner of it."""
        async with self.app, self.app.runner() as runner:
            yield runner

    @asynccontextmanager
    async def untouched(self) -> AsyncIterator[Runner]:
        """The same, in whose tasks nothing is cancelled: the scenario is about others."""
        starting = unwatched.set(True)
        async with self.app, self.app.runner() as runner:
            unwatched.reset(starting)
            yield runner
            ending = unwatched.set(True)
        unwatched.reset(ending)

    async def until(self, condition: Callable[[], object], runner: Runner) -> None:
        """Waits for a condition, or for the end of the runner, after which nothing more comes."""
        await wait_until(lambda: condition() or has_ended(runner), deadline=60.0)

    async def until_done(self, runner: Runner, *, or_else: Callable[[], object] = lambda: False) -> None:
        """Waits until everything is done, or something else holds, or the runner has ended."""

        async def is_over() -> bool:
            return bool(has_ended(runner) or or_else() or await self.is_done())

        looking = unwatched.set(True)
        await wait_until(is_over, deadline=60.0)
        unwatched.reset(looking)

    async def is_done(self) -> bool:
        """Every event has fired what it must, and every invocation has ended."""
        log = (await self.app._internals.connections.session()).log
        log = log.inner if isinstance(log, FaultyLog) else log
        found = await entries_of(log)
        fired = {each.participants[0].entry_id for each in found if isinstance(each, TriggerFired)}
        started = [each.invocation_id for each in found if isinstance(each, (InvocationRegistered, TriggerFired))]
        states = [await log.invocation(each) for each in started]
        succeeded = Counter(
            each.registration.task_id for each in states if each is not None and each.state.status == "success"
        )
        packed = [each for each in states if each is not None and each.registration.task_id == "pack"]
        return (
            all(each.id in fired for each in found if isinstance(each, EventEmitted) and each.event_code == "paid")
            and all(each is not None and each.state.status in FINAL for each in states)
            and len(packed) >= succeeded["ship"]
        )


class ProcessShop(Shop):
    """A shop whose tasks run in child processes; these import the module that declares them."""

    tasks = child_tasks

    def __init__(self, place: Place, watch: Watch | None = None, **options: Any) -> None:
        self.file = place.folder / "hangs"
        super().__init__(place, watch, **options)

    def _make_app(self, settings: dict[str, Any]) -> TriggerEngine:
        return child_tasks.app

    def fresh(self) -> Shop:
        return ProcessShop(self.place, faulty=False)

    async def let_end(self) -> None:
        """Cancels the call that would hang again."""
        for entry in await entries(self.app):
            if isinstance(entry, InvocationRegistered) and entry.task_id == child_tasks.tell_and_hang.task_id:
                await (await self.app.invocation(entry.invocation_id)).cancel()


def has_ended(runner: Runner) -> bool:
    """True when it has ended, by itself or because it was stopped."""
    return runner._main is not None and runner._main.done()


async def again(call: Callable[[], Awaitable[T]], *, times: int = 5) -> T:
    """Makes a call again, as its error says, when its effect is unknown."""
    for _ in range(times - 1):
        try:
            return await call()
        except BackendUnavailable:
            continue
    return await call()


async def _pause() -> None:
    await asyncio.sleep(0)
