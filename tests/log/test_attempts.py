"""Attempts that are made again: their pauses, and what is said when the time is up."""

import asyncio

import pytest

from trigger_engine.errors import BackendUnavailable
from trigger_engine.log.attempts import FIRST_PAUSE, LONGEST_PAUSE, Attempts, Pauses


def test_pauses_double_from_none_to_the_longest_and_begin_anew() -> None:
    pauses = Pauses()
    assert pauses.next() == 0
    expected = FIRST_PAUSE
    while expected < LONGEST_PAUSE:
        assert expected / 2 <= pauses.next() <= expected
        expected *= 2
    assert LONGEST_PAUSE / 2 <= pauses.next() <= LONGEST_PAUSE
    pauses.reset()
    assert pauses.next() == 0


async def test_when_the_time_is_up_the_newest_cause_is_told_that_says_more_than_that() -> None:
    attempts = Attempts("the keys", 60)
    await attempts.failed(OSError("refused"), "host:1")
    await attempts.failed(TimeoutError(), "host:1")
    attempts.deadline = asyncio.get_running_loop().time()
    with pytest.raises(BackendUnavailable, match=r"host:1 cannot be used, tried for 60 s \(refused\): .* the keys$"):
        await attempts.failed(TimeoutError(), "host:1")
    with pytest.raises(BackendUnavailable, match=r"\(reset\)") as raised:
        await attempts.failed(OSError("reset"), "host:1")
    assert isinstance(raised.value.__cause__, OSError)


async def test_who_is_cancelled_between_two_attempts_makes_no_other() -> None:
    attempts = Attempts("the keys", 60)
    for _ in range(3):
        await attempts.failed(OSError("refused"), "host:1")
    waiting = asyncio.create_task(attempts.failed(OSError("refused"), "host:1"))
    await asyncio.sleep(0)
    assert not waiting.done()
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
