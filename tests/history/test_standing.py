"""How things stand now: what is not judged yet, what waits longest, totals, and hearing that something came."""

import asyncio

from tests.history.story import Story, at
from trigger_engine.entries.facts import RetentionApplied
from trigger_engine.history import History
from trigger_engine.history.standing_queries import StandingRecord, standing, totals


async def at_time(history: History, seconds: float) -> StandingRecord:
    return await history.ask(lambda reading: standing(reading, at(seconds)))


async def test_what_leaders_have_not_judged_is_counted_with_its_age(story: Story, history: History) -> None:
    story.event()  # 0
    call = story.register()  # 1
    story.start(call)  # 2
    found = await at_time(history, 10)
    assert (found.unjudged, found.unjudged_since) == (3, at(0))
    story.lead()
    story.judge()
    found = await at_time(history, 10)
    assert (found.unjudged, found.unjudged_since) == (0, None), "what leaders write of themselves does not count"
    story.succeed(call)  # 5
    found = await at_time(history, 10)
    assert (found.unjudged, found.unjudged_since) == (1, at(5))


async def test_the_longest_wait_is_of_what_is_due(story: Story, history: History) -> None:
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


async def test_totals_never_shrink(story: Story, history: History) -> None:
    for _ in range(3):
        story.event()
    before = await history.ask(totals)
    assert before["event"] == 3
    story.retain(before=4)
    assert not await history.events()
    after = await history.ask(totals)
    assert after == {**before, str(RetentionApplied.__struct_config__.tag): 1}


async def test_one_hears_of_news(story: Story, history: History) -> None:
    story.event()
    assert await history.wait_beyond(0, timeout=5) == 1
    assert await history.wait_beyond(1, timeout=0) == 1
    story.event()
    assert await asyncio.wait_for(history.wait_beyond(1, timeout=5), 5) == 2
    assert await history.wait_beyond(99, timeout=5) == 2, "a log that was replaced is news, too"
