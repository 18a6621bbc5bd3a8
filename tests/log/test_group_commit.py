"""Group commit: many callers, few appends, and each caller gets what is its own."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import cast

import msgspec
import pytest

from trigger_engine.entries.facts import EventEmitted
from trigger_engine.errors import BackendUnavailable, NothingStored, PayloadTooLarge, SerializationError
from trigger_engine.log.contract import Accepted, EventLog, Outcome, Part, Refused
from trigger_engine.log.group_commit import GroupCommit
from trigger_engine.log.memory import MemTrigger
from trigger_engine.testing.conformance.harness import ids
from trigger_engine.testing.conformance.sample_entries import event, judged


class SlowLog:
    """Forwards appends to a memory log, once the gate is open, and notes the batches."""

    def __init__(self, log: EventLog) -> None:
        self._log = log
        self.batches: list[list[list[str]]] = []
        self.gate = asyncio.Event()
        self.entered = asyncio.Event()
        self.errors: list[Exception] = []
        self.never = ""

    async def append(self, parts: Sequence[Part]) -> list[Outcome]:
        self.batches.append([[entry.id for entry in part] for part in parts])
        self.entered.set()
        await self.gate.wait()
        if self.errors:
            raise self.errors.pop(0)
        if any(entry.id == self.never for part in parts for entry in part):
            raise PayloadTooLarge("over the server's limit")
        return await self._log.append(parts)


@pytest.fixture
async def memory() -> AsyncIterator[EventLog]:
    async with await MemTrigger(app_id="shop").open(clock=lambda: 0.0) as log:
        yield log


@pytest.fixture
def slow(memory: EventLog) -> SlowLog:
    return SlowLog(memory)


@pytest.fixture
async def commits(slow: SlowLog) -> AsyncIterator[GroupCommit]:
    commits = GroupCommit(cast(EventLog, slow), max_entries=4, max_bytes=2_000, resend_delays=(0.001, 0.001))
    yield commits
    slow.gate.set()
    await commits.aclose()


def begin(commits: GroupCommit, *parts: Part) -> asyncio.Task[list[Outcome]]:
    return asyncio.create_task(append_all(commits, parts))


async def append(commits: GroupCommit, part: Part) -> Outcome:
    return (await commits.submit((part,)))[0]


async def append_all(commits: GroupCommit, parts: Sequence[Part]) -> list[Outcome]:
    return await commits.submit(parts)


def unencodable(entry_id: str) -> EventEmitted:
    return msgspec.structs.replace(event(entry_id), event_code=cast(str, object()))


async def under_way(slow: SlowLog, commits: GroupCommit) -> asyncio.Task[list[Outcome]]:
    """An append of `first` that has reached the log and waits there."""
    task = begin(commits, (event("first"),))
    await slow.entered.wait()
    return task


async def test_one_append_returns_its_outcome(commits: GroupCommit, slow: SlowLog) -> None:
    slow.gate.set()
    assert await append(commits, (event("a"), event("b"))) == Accepted(1)
    assert isinstance(await append(commits, (judged("j", 99),)), Refused)


async def test_what_comes_while_an_append_is_under_way_goes_together(
    commits: GroupCommit, slow: SlowLog, memory: EventLog
) -> None:
    first = await under_way(slow, commits)
    others = [begin(commits, (event(name),)) for name in "abc"]
    await asyncio.sleep(0)
    slow.gate.set()
    outcomes = await asyncio.gather(first, *others)
    assert slow.batches == [[["first"]], [["a"], ["b"], ["c"]]]
    assert outcomes == [[Accepted(n)] for n in (1, 2, 3, 4)]
    assert await ids(memory) == ["first", "a", "b", "c"]


async def test_a_refused_part_is_its_callers_alone(commits: GroupCommit, slow: SlowLog) -> None:
    first = await under_way(slow, commits)
    good, stale, more = begin(commits, (event("a"),)), begin(commits, (judged("j", 99),)), begin(commits, (event("b"),))
    await asyncio.sleep(0)
    slow.gate.set()
    kinds = [type(outcomes[0]) for outcomes in await asyncio.gather(first, good, stale, more)]
    assert kinds == [Accepted, Accepted, Refused, Accepted]


async def test_a_part_that_cannot_be_encoded_fails_its_caller_alone(commits: GroupCommit, slow: SlowLog) -> None:
    first = await under_way(slow, commits)
    good, bad = begin(commits, (event("a"),)), begin(commits, (event("b"), unencodable("bad")))
    with pytest.raises(SerializationError):
        await bad
    slow.gate.set()
    assert await first == [Accepted(1)]
    assert await good == [Accepted(2)]


async def test_a_part_that_the_log_does_not_take_fails_its_caller_alone(commits: GroupCommit, slow: SlowLog) -> None:
    first = await under_way(slow, commits)
    tasks = [begin(commits, (event(name),)) for name in "abc"]
    await asyncio.sleep(0)
    slow.never = "b"
    slow.gate.set()
    outcomes = await asyncio.gather(first, *tasks, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [list, list, PayloadTooLarge, list]
    assert slow.batches[1:] == [[["a"], ["b"], ["c"]], [["a"]], [["b"]], [["c"]]]


async def test_parts_of_one_call_stay_together(commits: GroupCommit, slow: SlowLog) -> None:
    first = await under_way(slow, commits)
    two, three = begin(commits, (event("a"),), (event("b"),)), begin(commits, *((event(f"c{n}"),) for n in range(3)))
    await asyncio.sleep(0)
    slow.gate.set()
    await asyncio.gather(first, two, three)
    assert slow.batches[1:] == [[["a"], ["b"]], [["c0"], ["c1"], ["c2"]]]


async def test_a_batch_holds_no_more_entries_than_the_limit(commits: GroupCommit, slow: SlowLog) -> None:
    first = await under_way(slow, commits)
    tasks = [begin(commits, (event(f"e{n}"),)) for n in range(9)]
    await asyncio.sleep(0)
    slow.gate.set()
    await asyncio.gather(first, *tasks)
    assert [len(batch) for batch in slow.batches] == [1, 4, 4, 1]


async def test_a_batch_holds_no_more_bytes_than_the_limit(commits: GroupCommit, slow: SlowLog) -> None:
    first = await under_way(slow, commits)
    tasks = [begin(commits, (event(f"e{n}", "x" * 900),)) for n in range(3)]
    await asyncio.sleep(0)
    slow.gate.set()
    await asyncio.gather(first, *tasks)
    assert [len(batch) for batch in slow.batches] == [1, 2, 1]


async def test_a_call_that_is_too_large_for_a_batch_goes_alone(commits: GroupCommit, slow: SlowLog) -> None:
    first = await under_way(slow, commits)
    tasks = [
        begin(commits, (event("a"),)),
        begin(commits, *((event(f"b{n}"),) for n in range(6))),
        begin(commits, (event("c"),)),
        begin(commits, (event("d", "x" * 5_000),)),
    ]
    await asyncio.sleep(0)
    slow.gate.set()
    await asyncio.gather(first, *tasks)
    assert [len(batch) for batch in slow.batches] == [1, 1, 6, 1, 1]


async def test_a_failed_append_is_sent_again_unchanged_before_anything_newer(
    commits: GroupCommit, slow: SlowLog
) -> None:
    first = await under_way(slow, commits)
    newer = begin(commits, (event("newer"),))
    await asyncio.sleep(0)
    slow.errors = [BackendUnavailable("gone")] * 2
    slow.gate.set()
    assert await first == [Accepted(1)]
    assert await newer == [Accepted(2)]
    assert slow.batches == [[["first"]]] * 3 + [[["newer"]]]


async def test_an_append_that_goes_on_failing_fails_its_batch_alone(commits: GroupCommit, slow: SlowLog) -> None:
    first = await under_way(slow, commits)
    newer = begin(commits, (event("newer"),))
    await asyncio.sleep(0)
    slow.errors = [BackendUnavailable("gone")] * 3
    slow.gate.set()
    with pytest.raises(BackendUnavailable, match="gone"):
        await first
    assert isinstance((await newer)[0], Accepted)


async def test_what_became_of_a_failed_append_is_settled_before_the_next(
    commits: GroupCommit, slow: SlowLog, memory: EventLog
) -> None:
    first = await under_way(slow, commits)
    slow.errors = [BackendUnavailable("gone")] * 3
    slow.gate.set()
    with pytest.raises(BackendUnavailable):
        await first
    assert await append(commits, (event("next"),)) == Accepted(2)
    assert await ids(memory) == ["first", "next"]


async def test_what_certainly_was_not_stored_is_left_to_its_caller(
    commits: GroupCommit, slow: SlowLog, memory: EventLog
) -> None:
    first = await under_way(slow, commits)
    slow.errors = [NothingStored("full")] * 3
    slow.gate.set()
    with pytest.raises(NothingStored):
        await first
    await append(commits, (event("again"),))
    assert await ids(memory) == ["again"]


async def test_one_doubtful_answer_is_enough_to_settle_an_append_later(
    commits: GroupCommit, slow: SlowLog, memory: EventLog
) -> None:
    first = await under_way(slow, commits)
    slow.errors = [BackendUnavailable("gone"), *([NothingStored("full")] * 5)]
    slow.gate.set()
    with pytest.raises(NothingStored):
        await first
    with pytest.raises(NothingStored):
        await append(commits, (event("second"),))
    await append(commits, (event("third"),))
    assert await ids(memory) == ["first", "third"]


async def test_an_append_that_cannot_be_made_is_not_sent_again(commits: GroupCommit, slow: SlowLog) -> None:
    first = await under_way(slow, commits)
    slow.errors = [ValueError("wrong")]
    slow.gate.set()
    with pytest.raises(ValueError, match="wrong"):
        await first
    assert isinstance(await append(commits, (event("a"),)), Accepted)
    assert slow.batches == [[["first"]], [["a"]]]


async def test_a_caller_that_is_cancelled_before_its_turn_takes_its_part_back(
    commits: GroupCommit, slow: SlowLog, memory: EventLog
) -> None:
    first = await under_way(slow, commits)
    kept, dropped = begin(commits, (event("kept"),)), begin(commits, (event("dropped"),))
    await asyncio.sleep(0)
    dropped.cancel()
    slow.gate.set()
    await asyncio.gather(first, kept)
    assert dropped.cancelled()
    assert await ids(memory) == ["first", "kept"]


async def test_a_caller_that_is_cancelled_under_way_disturbs_no_neighbour(
    commits: GroupCommit, slow: SlowLog, memory: EventLog
) -> None:
    first = await under_way(slow, commits)
    neighbours = [begin(commits, (event(name),)) for name in "abc"]
    await asyncio.sleep(0)
    slow.entered.clear()
    slow.gate.set()
    await slow.entered.wait()
    neighbours[1].cancel()
    outcomes = await asyncio.gather(first, *neighbours, return_exceptions=True)
    assert isinstance(outcomes[2], asyncio.CancelledError)
    assert await ids(memory) == ["first", "a", "b", "c"]


async def test_a_scope_that_times_out_leaves_the_flush_to_the_others(commits: GroupCommit, slow: SlowLog) -> None:
    other = None
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            other = begin(commits, (event("other"),))
            await append(commits, (event("a"),))
    slow.gate.set()
    assert other is not None
    assert isinstance((await other)[0], Accepted)


async def test_when_every_caller_is_cancelled_the_next_one_is_served(commits: GroupCommit, slow: SlowLog) -> None:
    tasks = [begin(commits, (event(name),)) for name in "abc"]
    await slow.entered.wait()
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    slow.gate.set()
    assert isinstance(await append(commits, (event("d"),)), Accepted)


@pytest.mark.parametrize("started", [True, False])
async def test_a_cancelled_flush_hangs_nobody(commits: GroupCommit, slow: SlowLog, started: bool) -> None:
    waiting = begin(commits, (event("a"),))
    await asyncio.sleep(0)
    if started:
        await slow.entered.wait()
    (flush,) = (task for task in asyncio.all_tasks() if task.get_name() == "trigger-engine group commit")
    flush.cancel()
    with pytest.raises(BackendUnavailable, match="make the same call again"):
        await waiting
    slow.gate.set()
    assert isinstance(await append(commits, (event("a"),)), Accepted)


async def test_closing_flushes_what_callers_wait_for(commits: GroupCommit, slow: SlowLog, memory: EventLog) -> None:
    first = await under_way(slow, commits)
    second = begin(commits, (event("second"),))
    await asyncio.sleep(0)
    closing = asyncio.create_task(commits.aclose())
    await asyncio.sleep(0)
    assert not closing.done()
    slow.gate.set()
    await closing
    assert await first == [Accepted(1)]
    assert await second == [Accepted(2)]
    await commits.aclose()
    with pytest.raises(BackendUnavailable, match="closed"):
        await append(commits, (event("late"),))
    assert await ids(memory) == ["first", "second"]


async def test_the_flush_ends_when_nobody_waits(commits: GroupCommit, slow: SlowLog) -> None:
    slow.gate.set()
    before = asyncio.all_tasks()
    await append(commits, (event("a"),))
    await asyncio.sleep(0)
    assert asyncio.all_tasks() == before


async def test_many_callers_each_get_their_own_place(commits: GroupCommit, slow: SlowLog, memory: EventLog) -> None:
    slow.gate.set()
    outcomes = await asyncio.gather(*(append(commits, (event(f"e{n}"),)) for n in range(200)))
    found = await ids(memory)
    for number, outcome in enumerate(outcomes):
        assert isinstance(outcome, Accepted)
        assert found[outcome.position - 1] == f"e{number}"
