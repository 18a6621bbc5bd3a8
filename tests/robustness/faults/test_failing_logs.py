"""A log that fails under each path: nothing is lost or done twice, and the runner goes on by itself or ends in time."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.robustness.faults.aftermath import Holdings, everything_is_done, nothing_is_held, nothing_leaks
from tests.robustness.faults.run import quick
from tests.robustness.faults.shop import KINDS, Kind, Place, Shop, has_ended
from tests.support.waiting import wait_until
from trigger_engine import BackendUnavailable
from trigger_engine._model.entries import (
    EventEmitted,
    HandedBack,
    InvocationRegistered,
    Judged,
    LeaderElected,
    Retried,
    Succeeded,
    TriggerFired,
    TriggersDeclared,
)
from trigger_engine.testing import Faults, Hold, Rule
from trigger_engine.testing._faults import CUT_SHORT

Fault = Callable[..., Rule | Hold]
HOWS: dict[str, Callable[[Faults], Fault]] = {
    "before": lambda faults: faults.fail,
    "after": lambda faults: partial(faults.fail, after=True),
    "half": lambda faults: faults.cut_short,
    "slow": lambda faults: faults.hold,
    "slow after": lambda faults: partial(faults.hold, after=True),
    "cancelled": lambda faults: faults.cancel,
    "cancelled after": lambda faults: partial(faults.cancel, after=True),
}
KEPT_RUNNING = ("append", "follow", "claim", "heartbeat", "acquire", "runners", "orphans", "save_checkpoint")
AT_START = ("open", "heartbeat", "acquire", "load_checkpoint", "start", "runners", "append")
AT_END = ("append", "release", "leave", "claim", "save_checkpoint", "heartbeat")


@pytest.fixture(params=KINDS)
def place(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    kind: Kind = request.param
    with quick():
        yield Place(kind, tmp_path)


@pytest.fixture
async def held_before() -> Holdings:
    # The loop's own threads are there from the beginning: they are no leak.
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(1))
    await asyncio.to_thread(int)
    return Holdings()


async def all_is_well(shop: Shop, held_before: Holdings, *, given_back: bool = True) -> None:
    """What must hold at the end of each test; the audit is part of it."""
    shop.faults.clear()
    await nothing_leaks(held_before)
    if given_back:
        await nothing_is_held(shop.place)
    await everything_is_done(shop)
    await nothing_leaks(held_before)


def hows(*operations: str) -> list[tuple[str, str]]:
    """Each operation with each fault that it can have."""
    return [(each, how) for each in operations for how in HOWS if how != "half" or each in CUT_SHORT]


@pytest.mark.parametrize("how", [how for how in HOWS if how != "half"])
async def test_emitted_events_are_stored_once(place: Place, held_before: Holdings, how: str) -> None:
    shop = Shop(place)
    async with shop.app:
        await shop.app._internals.connections.session()
        fault = HOWS[how](shop.faults)("append", entries=EventEmitted, times=2)
        emitting = [asyncio.create_task(shop.emit(number)) for number in range(1, 6)]
        await struck(fault)
        await asyncio.wait(emitting)
        assert [task.exception() for task in emitting] == [None] * 5
    await all_is_well(shop, held_before)


@pytest.mark.parametrize(("operation", "how"), hows(*KEPT_RUNNING))
async def test_runner_recovers_without_help(place: Place, held_before: Holdings, operation: str, how: str) -> None:
    shop = Shop(place)
    async with shop.running() as runner:
        await shop.emit(1)
        await shop.until_done(runner)
        fault = HOWS[how](shop.faults)(operation, times=1 if "cancelled" in how else 3)
        calling = [asyncio.create_task(call) for call in (shop.emit(2), shop.enqueue(shop.retried, "retried"))]
        await struck(fault)
        await asyncio.gather(*calling)
        await shop.until_done(runner)
        # Whoever cancels a task of a runner stops it; it must have given back what it held, which is looked at below.
        assert runner.failed is None
        assert "cancelled" in how or not has_ended(runner)
    await all_is_well(shop, held_before)


@pytest.mark.parametrize("how", ["before", "after", "slow", "cancelled after"])
@pytest.mark.parametrize(
    "entries", [TriggerFired, Judged, Succeeded, Retried, LeaderElected, TriggersDeclared, InvocationRegistered]
)
async def test_every_fact_is_written_once(place: Place, held_before: Holdings, entries: Any, how: str) -> None:
    shop = Shop(place)
    fault = HOWS[how](shop.faults)("append", entries=entries, times=2)
    releasing = asyncio.create_task(struck(fault))
    with suppress(BackendUnavailable, asyncio.CancelledError):
        async with shop.running() as runner:
            await shop.emit(1)
            await shop.enqueue(shop.retried, "retried")
            await shop.until_done(runner)
    await releasing
    await all_is_well(shop, held_before)


@pytest.mark.parametrize("how", ["before", "after", "slow", "cancelled after"])
@pytest.mark.parametrize("operation", AT_START)
async def test_a_start_that_fails_leaves_nothing(place: Place, held_before: Holdings, operation: str, how: str) -> None:
    shop = Shop(place)
    await shop.act(partial(_start, shop, HOWS[how](shop.faults), operation))
    await all_is_well(shop, held_before)


async def _start(shop: Shop, fault: Fault, operation: str) -> None:
    made = fault(operation, times=1)
    releasing = asyncio.create_task(struck(made))
    try:
        with suppress(BackendUnavailable):
            async with shop.running() as runner:
                await shop.emit(1)
                await shop.until_done(runner)
    finally:
        await releasing


@pytest.mark.parametrize("how", ["before", "after", "cancelled after"])
@pytest.mark.parametrize("operation", AT_END)
async def test_a_runner_ends_though_its_last_calls_fail(
    place: Place, held_before: Holdings, operation: str, how: str
) -> None:
    shop = Shop(place, shutdown_timeout=0.05)
    async with asyncio.timeout(60):
        await shop.act(partial(_stop, shop, lambda: HOWS[how](shop.faults)(operation)))
    await all_is_well(shop, held_before, given_back=False)


@pytest.mark.parametrize("operation", ["*", *AT_END])
async def test_a_runner_ends_though_its_last_calls_hang(
    place: Place, held_before: Holdings, operation: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for constant in (
        "_runtime.leader.election.FINAL_CALL_TIMEOUT",
        "_runtime.runner.FINAL_CALL_TIMEOUT",
        "_storage.group_commit.CLOSE_SECONDS",
    ):
        monkeypatch.setattr(f"trigger_engine.{constant}", 0.05)
    shop = Shop(place, shutdown_timeout=0.05)
    async with asyncio.timeout(60):
        await shop.act(partial(_stop, shop, lambda: shop.faults.hold(operation)))
    await all_is_well(shop, held_before, given_back=False)


async def _stop(shop: Shop, make_fault: Callable[[], object]) -> None:
    async with shop.running() as runner:
        await shop.enqueue(shop.wait, "wait")
        await shop.emit(1)
        await shop.until(lambda: "wait" in shop.seen, runner)
        make_fault()


async def test_work_that_cannot_be_handed_back_is_recovered(place: Place, held_before: Holdings) -> None:
    shop = Shop(place, shutdown_timeout=0.05)
    await shop.act(partial(_stop, shop, lambda: shop.faults.fail("append", entries=HandedBack)))
    await all_is_well(shop, held_before, given_back=False)


@pytest.mark.parametrize(("operation", "how"), hows("tail", "follow", "start", "runners"))
async def test_history_reports_a_failed_read_and_then_continues(
    place: Place, held_before: Holdings, operation: str, how: str
) -> None:
    shop = Shop(place)
    async with shop.running() as runner:
        await shop.emit(1)
        await shop.until_done(runner)
    async with shop.app, shop.app.history() as history:
        fault = HOWS[how](shop.faults)(operation, times=1)
        asking = asyncio.create_task(_ask(history.runners))
        await struck(fault)
        await asyncio.wait([asking])
        shop.faults.clear()
        await shop.emit(2)
        assert [one.payload["order"] for one in await history.events()] == [2, 1]
        # A minute may begin meanwhile, which starts a tick.
        assert sum(run.task_id != "tick" for run in await history.trigger_runs()) == 2
    await all_is_well(shop, held_before)


async def _ask(question: Callable[[], Awaitable[object]]) -> None:
    with suppress(BackendUnavailable):
        await question()


@pytest.mark.parametrize("seed", range(4))
async def test_a_storm_of_faults_loses_nothing(place: Place, held_before: Holdings, seed: int) -> None:
    shop = Shop(place, seed=seed)
    async with shop.running() as runner:
        storm = [
            shop.faults.fail("*", chance=0.05),
            shop.faults.fail("*", after=True, chance=0.05),
            shop.faults.cut_short("follow", "claim", "recover", chance=0.1),
        ]
        for number in range(1, 31):
            await shop.emit(number)
        await shop.enqueue(shop.retried, "retried")
        await wait_until(lambda: sum(rule.struck for rule in storm) > 20)
        shop.faults.clear()
        await shop.until_done(runner)
        assert not has_ended(runner)
    await all_is_well(shop, held_before)


async def struck(fault: Rule | Hold) -> None:
    """Returns when it has struck, or can do so no more; what is held is let go then."""
    if isinstance(fault, Rule):
        with suppress(TimeoutError):
            await asyncio.wait_for(wait_until(lambda: fault.struck), 2.0)
        return
    with suppress(TimeoutError):
        await asyncio.wait_for(fault.reached(), 2.0)
    for _ in range(20):
        await asyncio.sleep(0)
    fault.release()
