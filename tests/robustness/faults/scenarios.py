"""What an app goes through while something in it is cancelled; together they wait wherever the engine can wait."""

from __future__ import annotations

import asyncio
import signal
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from functools import partial
from typing import Any

from tests.robustness.faults.shop import LOST, ProcessShop, Shop, again, has_ended
from tests.robustness.faults.watch import WAYS
from tests.support.waiting import wait_until
from trigger_engine import (
    BackendUnavailable,
    ConfigError,
    InvocationCancelled,
    LogReplaced,
    RecordNotFound,
    ResultTimeout,
    SerializationError,
    TriggerBuilder,
    TriggerEngine,
)
from trigger_engine._model.entries import EventEmitted, Succeeded
from trigger_engine._readmodel.history import History
from trigger_engine._runtime.runner import Runner
from trigger_engine._storage.sqlite.backend import SQLiteTrigger
from trigger_engine._storage.sqlite.settings import SQLiteSettings
from trigger_engine.testing.conformance._sample_entries import event

Scenario = Callable[[Shop], Awaitable[None]]


async def life(shop: Shop) -> None:
    """A runner from its start to its end, with one task of each kind."""
    shop.app._internals.lifespan = partial(_lifespan, shop.app)

    async def host() -> None:
        async with shop.app.runner() as runner:
            await shop.emit(1)
            await shop.emit(2)
            await shop.enqueue(shop.retried, "retried")
            await shop.until_done(runner)

    await shop.act(host)


async def shutdown(shop: Shop) -> None:
    """A runner that is stopped while as many tasks run as it may run, and one of them ignores its cancellation."""

    async def host() -> None:
        async with shop.running() as runner:
            await shop.enqueue(shop.stubborn, "stubborn")
            for number in range(5):
                await shop.enqueue(shop.wait, f"wait-{number}")
            await shop.until(lambda: len(shop.seen) >= 4 and shop.faults.calls["orphans"] >= 3, runner)
            await shop.until(lambda: shop.warnings or shop.is_struck, runner)

    await shop.act(host)
    shop.gate.set()


async def stranded(shop: Shop) -> None:
    """A runner is stopped while the answer to its claim is under way; before, it recovers what a lost one has held."""

    async def host() -> None:
        async with shop.app:
            await shop.enqueue(shop.retried, "lost")
            log = (await shop.app._internals.connections.session()).log
            await again(lambda: log.claim(LOST, tasks=["retried"], queues=[], holding=[], limit=1))
        async with shop.running() as runner:
            await shop.until(lambda: "retried" in shop.seen, runner)
            held = shop.faults.hold("claim", after=True, times=1)
            await shop.enqueue(shop.wait, "wait")
            await shop.until(lambda: held.waiting, runner)

    await shop.act(host)
    shop.faults.clear()


async def callers(shop: Shop) -> None:
    """What callers await while a runner is up."""
    async with shop.untouched() as runner:
        await shop.act(lambda: shop.emit(1))
        await shop.act(lambda: again(lambda: shop.app.emit_events([("paid", {"order": n}) for n in (2, 3)])))
        await shop.act(lambda: _calls(shop, runner))
        shop.gate.set()
        await shop.act(lambda: _direct(shop))
        await shop.until_done(runner)


async def _calls(shop: Shop, runner: Runner) -> None:
    await again(shop.retried)
    waiting = await shop.enqueue(shop.wait, "wait")
    await shop.until(lambda: "wait" in shop.seen, runner)
    async with asyncio.TaskGroup() as group:
        asking = [group.create_task(_result(waiting, runner)) for _ in range(2)]
        await asyncio.sleep(0)
        asking[0].cancel()
        shop.gate.set()
    await again(waiting.status)
    rerun = await again(waiting.rerun)
    await again(rerun.cancel)


async def _result(invocation: Any, runner: Runner) -> None:
    while not has_ended(runner):
        with suppress(ResultTimeout, BackendUnavailable):
            await invocation.result(timeout=0.5)
            return


async def _direct(shop: Shop) -> None:
    """What is public below the app."""
    session = await shop.app._internals.connections.session()
    with suppress(BackendUnavailable):
        await session.append((event("unheard"),))
    async with await shop.app._internals.connections.backend.open(clock=shop.clock) as log:
        await log.orphans()
    with suppress(ConfigError):
        await SQLiteTrigger(SQLiteSettings(str(shop.place.folder)), app_id="shop").open(clock=shop.clock)


async def cold(shop: Shop) -> None:
    """Every call as the first one of an app that nobody has entered, and callers who come at the same time."""
    invocation_id = ""

    async def first(call: Callable[[TriggerEngine], Awaitable[Any]]) -> Any:
        async with shop.app:
            return await again(lambda: call(shop.app))

    async def wanted(app: TriggerEngine) -> Any:
        return await app.invocation(invocation_id)

    await shop.act(lambda: first(lambda app: app.trigger.emit_event("paid", {"order": 5})))
    await shop.act(lambda: first(lambda app: app.trigger.emit_events([("unheard", None)])))
    made = await shop.act(lambda: first(lambda _: shop.retried()))
    invocation_id = getattr(made, "invocation_id", "")
    if not invocation_id:
        return
    handle: Any = made
    await shop.act(lambda: first(wanted))
    await shop.act(lambda: first(lambda _: handle.status()))
    await shop.act(lambda: first(lambda _: _timed_out(handle)))
    stored = await shop.stored(invocation_id)
    await shop.act(lambda: first(lambda app: app._internals.rerun(stored)))
    await shop.act(lambda: first(lambda _: handle.cancel()))
    await shop.act(lambda: _two_at_once(shop))
    await shop.act(lambda: _hasty(shop))


async def _timed_out(handle: Any) -> None:
    with suppress(ResultTimeout, InvocationCancelled):
        await handle.result(timeout=0.01)


async def _two_at_once(shop: Shop) -> None:
    async with shop.app, asyncio.TaskGroup() as group:
        for _ in range(2):
            group.create_task(shop.app._internals.connections.session())


async def _hasty(shop: Shop) -> None:
    """The app is left while an append is under way and a result is awaited."""
    async with shop.app:
        session = await shop.app._internals.connections.session()
        endless = await again(shop.wait)
        waiting = asyncio.create_task(endless.result(timeout=60))
        await wait_until(lambda: session.results._task is not None)
        emitting = asyncio.create_task(shop.app.emit_event("paid", {"order": 6}))
        await asyncio.sleep(0)
    for task in (waiting, emitting):
        task.cancel()
        await asyncio.wait([task])


async def reading(shop: Shop) -> None:
    """Every question to the history, alone and by two at once; with another process in the way; of an emptied log."""
    async with shop.untouched() as runner:
        await shop.emit(1)
        await shop.until_done(runner)
    for question in (*_QUESTIONS, _details):
        await shop.act(lambda question=question: _ask(shop, question))  # type: ignore[misc]
    await shop.act(lambda: _wait_beyond(shop))
    await shop.act(lambda: _ask_two_at_once(shop))
    if shop.place.kind == "sqlite":
        await shop.act(lambda: _ask_while_another_folds(shop))
        await shop.act(lambda: _ask_while_the_cache_is_locked(shop))
    await shop.act(lambda: _ask_before_and_after(shop, shop.clear))


_QUESTIONS: tuple[Callable[[History], Awaitable[Any]], ...] = (
    lambda history: history.events(),
    lambda history: history.trigger_runs(),
    lambda history: history.invocations(),
    lambda history: history.triggers(),
    lambda history: history.runners(),
    lambda history: history.overview(),
    lambda history: history.activity(step=timedelta(minutes=5)),
    lambda history: history.notices(),
    lambda history: history.void(),
    lambda history: history.query(lambda _: None),
)


async def _details(history: History) -> None:
    event = (await history.events())[0]
    run = (await history.trigger_runs())[0]
    await history.event(event.event_id)
    await history.trigger_run(run.run_id)
    await history.invocation(run.invocation_id or "")
    await history.family(run.invocation_id or "")
    await history.explain(event.event_id)
    with suppress(RecordNotFound):
        await history.search("runner:nobody")


async def _ask(shop: Shop, question: Callable[[History], Awaitable[Any]]) -> None:
    async with shop.app.history() as history:
        await question(history)


async def _wait_beyond(shop: Shop) -> None:
    async with shop.app.history() as history:
        end = await history.wait_beyond(-1, timeout=0.01)
        await history.wait_beyond(end, timeout=0.01)
        replaced = shop.faults.fail("follow", error=lambda: LogReplaced("restored"))
        try:
            await history.wait_beyond(end, timeout=0.01)
        finally:
            shop.faults.clear(replaced)


async def _ask_two_at_once(shop: Shop) -> None:
    async with shop.app.history() as history, asyncio.TaskGroup() as group:
        group.create_task(history.events())
        group.create_task(history.overview())


async def _ask_while_another_folds(shop: Shop) -> None:
    async with shop.app, shop.app.history() as history:
        assert history._cache_file is not None
        with history._cache_file.lock() as held:
            assert held
            await again(lambda: shop.app.emit_event("unheard", {}))
            with suppress(TimeoutError):
                await asyncio.wait_for(history.events(), 0.1)
        await history.events()


async def _ask_while_the_cache_is_locked(shop: Shop) -> None:
    async with shop.app, shop.app.history() as history:
        assert history._database is not None
        other = sqlite3.connect(str(history._database._path), isolation_level=None)
        try:
            other.execute("BEGIN IMMEDIATE")
            await again(lambda: shop.app.emit_event("unheard", {}))
            with suppress(TimeoutError):
                await asyncio.wait_for(history.events(), 0.3)
        finally:
            other.close()
        await history.events()


async def _ask_before_and_after(shop: Shop, change: Callable[[], Awaitable[None]]) -> None:
    async with shop.app.history() as history:
        await history.events()
        await change()
        await history.events()


async def succession(shop: Shop) -> None:
    """Four terms: without a checkpoint, replaying that, from a checkpoint, and after one that cannot be read."""
    unsaved = shop.faults.fail("save_checkpoint")
    await shop.act(lambda: _term(shop, 1))
    shop.faults.clear(unsaved)
    await shop.act(lambda: _term(shop, 2))
    await shop.act(lambda: _term(shop, 3))
    await shop.break_checkpoint()
    await shop.act(lambda: _term(shop, 4))


async def _term(shop: Shop, number: int) -> None:
    async with shop.running() as runner:
        await shop.emit(number)
        await shop.until_done(runner)


async def hurried(shop: Shop) -> None:
    """Starts that fail, and ends that are cancelled while they are under way."""
    shop.app._internals.lifespan = partial(_broken_lifespan, shop.app)
    with suppress(ZeroDivisionError):
        await shop.act(lambda: _term(shop, 1))
    shop.app._internals.lifespan = None
    for number, way in enumerate(WAYS, 2):
        shop.cancel_at("_runtime/runner.py", "await asyncio.wait([self._main])", way)
        await shop.act(lambda number=number: _term(shop, number))  # type: ignore[misc]
    shop.cancel_at("_readmodel/history.py", "await self._database.open()", "task")
    await shop.act(lambda: _ask(shop, History.overview))


async def newer_code(shop: Shop) -> None:
    """A leader yields to a runner that has one more trigger."""
    newer = shop.sibling()

    @newer.app.task(task_id="refund", triggers=TriggerBuilder().on_event("refunded"))
    async def refund() -> None: ...

    async def host() -> None:
        async with shop.running() as old, newer.running() as new:
            await wait_until(lambda: any(map(has_ended, (old, new))) or newer.elections, deadline=60.0)
            await shop.emit(1)
            await shop.until_done(old)

    await shop.act(host)


async def retention(shop: Shop) -> None:
    """Old entries are removed while an invocation is open, a schedule is due, and a reader was in the removed part."""

    async def host() -> None:
        async with shop.running() as runner, shop.app.history() as history:
            await shop.enqueue(shop.wait, "wait")
            await history.events()
            await shop.emit(1)
            await shop.until(lambda: "pack" in shop.seen, runner)
            saved = shop.faults.calls["save_checkpoint"]
            await shop.until(lambda: shop.faults.calls["save_checkpoint"] > saved, runner)
            shop.events.clear()
            shop.offset += 200.0
            await shop.emit(2)
            await shop.until(lambda: shop.faults.calls["trim"] >= 2, runner)
            await history.events()
            shop.gate.set()

    await shop.act(host)
    shop.gate.set()


async def outage(shop: Shop) -> None:
    """The backend is away for a while: appends are sent again, and everybody waits and goes on."""

    async def host() -> None:
        async with shop.running() as runner:
            waiting = await shop.enqueue(shop.wait, "wait")
            await shop.enqueue(shop.wait, "wait too")
            await shop.until(lambda: shop.seen.count("wait") == 2, runner)
            asking = asyncio.create_task(_result(waiting, runner))
            try:
                _replace_the_log_of_the_follower(shop)
                shop.faults.fail("claim", times=2)
                refusal = partial(SerializationError, "the backend does not take it")
                shop.faults.fail("append", entries=EventEmitted, error=refusal, nth=1)
                shop.faults.fail("append", entries=Succeeded, error=refusal, nth=1)
                shop.faults.fail("append", entries=Succeeded, times=5)
                shop.gate.set()
                await asyncio.gather(shop.emit(1), shop.emit(2))
                await shop.until_done(runner)
            finally:
                asking.cancel()
                await asyncio.wait([asking])

    await shop.act(host)
    shop.gate.set()


def _replace_the_log_of_the_follower(shop: Shop) -> None:
    """Who follows for results is told that the log is another one: twice, the second time while the backend is away."""
    follows: list[Exception] = [LogReplaced("restored"), LogReplaced("restored"), BackendUnavailable("away")]
    tails: list[Exception | None] = [None, BackendUnavailable("away")]

    async def fail(errors: list[Any]) -> None:
        task = asyncio.current_task()
        error = errors.pop(0) if errors and task is not None and task.get_name() == "trigger-engine results" else None
        if error is not None:
            raise error

    shop.faults.call("follow", behaviour=lambda: fail(follows))
    shop.faults.call("tail", behaviour=lambda: fail(tails))


async def signalled(shop: Shop) -> None:
    """`app.run()` until a signal comes."""

    async def host() -> None:
        async with shop.app:
            running = asyncio.ensure_future(shop.app.run())
            try:
                await shop.emit(1)
                await wait_until(lambda: running.done() or "ship" in shop.seen, deadline=60.0)
                if not running.done():
                    signal.raise_signal(signal.SIGTERM)
                await asyncio.wait([running])
            finally:
                running.cancel()
                await asyncio.wait([running])

    await shop.act(host)


async def children(shop: Shop) -> None:
    """Tasks in child processes, which emit and enqueue."""

    async def host() -> None:
        async with shop.running() as runner:
            assert isinstance(shop, ProcessShop)
            await shop.enqueue(shop.tasks.emit_keyed, "emit")
            await shop.enqueue_with(shop.tasks.enqueue, "enqueue", x=1)
            await shop.until_done(runner)
            await shop.enqueue_with(shop.tasks.leave, "leave", how="exit")
            await shop.enqueue_with(shop.tasks.take_much, "take", text="x" * 1_000_000)
            await shop.until_done(runner)
            await shop.enqueue_with(shop.tasks.give_much, "give", size=1_000_000)
            await shop.enqueue_with(shop.tasks.tell_and_hang, "hang", file=str(shop.file))
            # Cancelled itself, the task ends without having written its file.
            await shop.until_done(runner, or_else=shop.file.exists)

    await shop.act(host)


@asynccontextmanager
async def _broken_lifespan(_: TriggerEngine) -> AsyncIterator[int]:
    await asyncio.sleep(0)
    yield 1 // 0


@asynccontextmanager
async def _lifespan(_: TriggerEngine) -> AsyncIterator[None]:
    await asyncio.sleep(0)
    yield
    await asyncio.sleep(0)


SCENARIOS: dict[str, Scenario] = {
    each.__name__: each
    for each in (
        life,
        shutdown,
        stranded,
        callers,
        cold,
        reading,
        succession,
        hurried,
        newer_code,
        retention,
        outage,
        signalled,
        children,
    )
}
SETTINGS: dict[str, dict[str, Any]] = {
    "shutdown": {"shutdown_timeout": 0.1, "max_backlog": 1},
    "retention": {"event_retention_days": 0.001},
}
