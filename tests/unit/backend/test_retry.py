"""Retries: the pauses between attempts, and the error at the deadline."""

import asyncio

import pytest

from trigger_engine.backend._retry import Backoff, Retries
from trigger_engine.errors import BackendUnavailable


def test_pauses_double_from_zero_to_the_longest_and_start_over() -> None:
    backoff = Backoff()
    assert backoff.next() == 0
    expected = Backoff.SHORTEST_SECONDS
    while expected < Backoff.LONGEST_SECONDS:
        assert expected / 2 <= backoff.next() <= expected
        expected *= 2
    assert Backoff.LONGEST_SECONDS / 2 <= backoff.next() <= Backoff.LONGEST_SECONDS
    backoff.reset()
    assert backoff.next() == 0


async def test_error_at_the_deadline_names_the_newest_cause_that_is_not_a_timeout() -> None:
    retries = Retries("the keys", 60)
    await retries.wait_after(OSError("refused"), "host:1")
    await retries.wait_after(TimeoutError(), "host:1")
    retries.deadline = asyncio.get_running_loop().time()
    with pytest.raises(BackendUnavailable, match=r"host:1 cannot be used, tried for 60 s \(refused\): .* the keys$"):
        await retries.wait_after(TimeoutError(), "host:1")
    with pytest.raises(BackendUnavailable, match=r"\(reset\)") as raised:
        await retries.wait_after(OSError("reset"), "host:1")
    assert isinstance(raised.value.__cause__, OSError)


async def test_cancelling_the_pause_ends_the_retries() -> None:
    retries = Retries("the keys", 60)
    for _ in range(3):
        await retries.wait_after(OSError("refused"), "host:1")
    waiting = asyncio.create_task(retries.wait_after(OSError("refused"), "host:1"))
    await asyncio.sleep(0)
    assert not waiting.done()
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
