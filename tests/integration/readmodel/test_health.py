"""Health: unevaluated entries, the longest waiting invocation, totals, and waiting for new entries."""

import asyncio

from tests.integration.readmodel.story import Story, at
from trigger_engine._model.entries import RetentionApplied
from trigger_engine._readmodel.history import History
from trigger_engine._readmodel.queries.health import HealthRecord, health, totals


async def at_time(history: History, seconds: float) -> HealthRecord:
    return await history.query(lambda snapshot: health(snapshot, at(seconds)))


async def test_unevaluated_entries_are_counted_with_their_age(story: Story, history: History) -> None:
    story.event()  # 0
    call = story.register()  # 1
    story.start(call)  # 2
    found = await at_time(history, 10)
    assert (found.unevaluated, found.unevaluated_since) == (3, at(0))
    story.lead()
    story.evaluate()
    found = await at_time(history, 10)
    assert (found.unevaluated, found.unevaluated_since) == (0, None), "entries of leaders do not count"
    story.succeed(call)  # 5
    found = await at_time(history, 10)
    assert (found.unevaluated, found.unevaluated_since) == (1, at(5))


async def test_longest_wait_only_considers_due_invocations(story: Story, history: History) -> None:
    assert (await at_time(history, 0)).oldest_waiting is None
    story.register("delayed", not_before=story.time + 100)  # 0
    first = story.register("first")  # 1
    second = story.register("second")  # 2
    found = await at_time(history, 10)
    assert (found.oldest_waiting, found.waiting_since) == (first, at(1))
    story.run(first)  # 3, 4
    assert (await at_time(history, 10)).oldest_waiting == second
    story.start(second)  # 5
    story.retry(second)  # 6, due at 16
    assert (await at_time(history, 12)).oldest_waiting is None
    found = await at_time(history, 20)
    assert (found.oldest_waiting, found.waiting_since) == (second, at(16))


async def test_totals_never_decrease(story: Story, history: History) -> None:
    for _ in range(3):
        story.event()
    before = await history.query(totals)
    assert before["event"] == 3
    story.retain(before=4)
    assert not await history.events()
    after = await history.query(totals)
    assert after == {**before, str(RetentionApplied.__struct_config__.tag): 1}


async def test_wait_beyond_returns_on_new_entries(story: Story, history: History) -> None:
    story.event()
    assert await history.wait_beyond(0, timeout=5) == 1
    assert await history.wait_beyond(1, timeout=0) == 1
    story.event()
    assert await asyncio.wait_for(history.wait_beyond(1, timeout=5), 5) == 2
    assert await history.wait_beyond(99, timeout=5) == 2, "a replaced log counts as new"
