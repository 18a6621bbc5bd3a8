"""Concurrent callers share runs: each gets one that began after it asked."""

import asyncio

import pytest

from tests.support.waiting import wait_until
from trigger_engine.backend._single_flight import SingleFlight


class Calls:
    """Counts its runs. Each run ends when `end` is set, and fails while `broken`."""

    def __init__(self) -> None:
        self.begun = 0
        self.end = asyncio.Event()
        self.broken = False

    async def call(self) -> int:
        self.begun += 1
        number = self.begun
        await self.end.wait()
        if self.broken:
            raise OSError(f"call {number}")
        return number


async def test_callers_during_a_run_share_the_next_one() -> None:
    calls = Calls()
    shared = SingleFlight(calls.call)
    first = asyncio.create_task(shared.run())
    await wait_until(lambda: calls.begun == 1)
    later = [asyncio.create_task(shared.run()) for _ in range(20)]
    await asyncio.sleep(0)
    calls.end.set()
    assert await first == 1
    assert await asyncio.gather(*later) == [2] * 20
    assert await shared.run() == 3


async def test_cancelling_a_caller_does_not_cancel_the_run_of_the_others() -> None:
    calls = Calls()
    shared = SingleFlight(calls.call)
    first = asyncio.create_task(shared.run())
    await wait_until(lambda: calls.begun == 1)
    second, third = (asyncio.create_task(shared.run()) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    second.cancel()
    await asyncio.wait([first, second])
    calls.end.set()
    assert await third == 2


async def test_a_failed_run_fails_for_everyone_who_shares_it_and_the_next_run_is_new() -> None:
    calls = Calls()
    shared = SingleFlight(calls.call)
    calls.broken = True
    callers = [asyncio.create_task(shared.run()) for _ in range(3)]
    await wait_until(lambda: calls.begun == 1)
    calls.end.set()
    outcomes = await asyncio.gather(*callers, return_exceptions=True)
    assert sorted(map(str, outcomes)) == ["call 1", "call 1", "call 1"]
    calls.broken = False
    assert await shared.run() == 2
    with pytest.raises(asyncio.CancelledError):
        calls.end.clear()
        last = asyncio.create_task(shared.run())
        await wait_until(lambda: calls.begun == 3)
        last.cancel()
        await last
    calls.end.set()
    assert await shared.run() == 4
