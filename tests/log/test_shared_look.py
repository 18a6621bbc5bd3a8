"""Looks that are shared: each caller gets one that began after it called."""

import asyncio

import pytest

from tests.support.waiting import wait_until
from trigger_engine.log.shared_look import SharedLook


class Looks:
    """Looks that end when they are told to, and say how many had begun."""

    def __init__(self) -> None:
        self.begun = 0
        self.end = asyncio.Event()
        self.broken = False

    async def look(self) -> int:
        self.begun += 1
        number = self.begun
        await self.end.wait()
        if self.broken:
            raise OSError(f"look {number}")
        return number


async def test_those_who_call_while_a_look_is_under_way_share_the_next_one() -> None:
    looks = Looks()
    shared = SharedLook(looks.look)
    first = asyncio.create_task(shared.take())
    await wait_until(lambda: looks.begun == 1)
    later = [asyncio.create_task(shared.take()) for _ in range(20)]
    await asyncio.sleep(0)
    looks.end.set()
    assert await first == 1
    assert await asyncio.gather(*later) == [2] * 20
    assert await shared.take() == 3


async def test_a_caller_that_is_cancelled_leaves_the_look_to_the_others() -> None:
    looks = Looks()
    shared = SharedLook(looks.look)
    first = asyncio.create_task(shared.take())
    await wait_until(lambda: looks.begun == 1)
    second, third = (asyncio.create_task(shared.take()) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    second.cancel()
    await asyncio.wait([first, second])
    looks.end.set()
    assert await third == 2


async def test_a_look_that_fails_fails_for_those_who_share_it_and_the_next_is_a_new_one() -> None:
    looks = Looks()
    shared = SharedLook(looks.look)
    looks.broken = True
    callers = [asyncio.create_task(shared.take()) for _ in range(3)]
    await wait_until(lambda: looks.begun == 1)
    looks.end.set()
    outcomes = await asyncio.gather(*callers, return_exceptions=True)
    assert sorted(map(str, outcomes)) == ["look 1", "look 1", "look 1"]
    looks.broken = False
    assert await shared.take() == 2
    with pytest.raises(asyncio.CancelledError):
        looks.end.clear()
        last = asyncio.create_task(shared.take())
        await wait_until(lambda: looks.begun == 3)
        last.cancel()
        await last
    looks.end.set()
    assert await shared.take() == 4
