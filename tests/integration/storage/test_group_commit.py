"""Group commit: few appends serve many callers, and each caller gets its own outcomes."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import cast

import msgspec
import pytest

from trigger_engine._model.entries import EventEmitted
from trigger_engine._storage.group_commit import GroupCommit
from trigger_engine._storage.memory.log import MemTrigger
from trigger_engine.backend._contract import Accepted, EventLog, Outcome, Part, Refused
from trigger_engine.errors import BackendUnavailable, NothingStored, PayloadTooLarge, SerializationError
from trigger_engine.testing.conformance._harness import ids
from trigger_engine.testing.conformance._sample_entries import evaluated, event


class SlowLog:
    """Records each batch and appends it to a memory log once the gate is open."""

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
    """Starts an append of `first` and returns when it waits in the log."""
    task = begin(commits, (event("first"),))
    await slow.entered.wait()
    return task


async def test_one_append_returns_its_outcome(commits: GroupCommit, slow: SlowLog) -> None:
    slow.gate.set()
    assert await append(commits, (event("a"), event("b"))) == Accepted(1)
    assert isinstance(await append(commits, (evaluated("j", 99),)), Refused)


async def test_appends_made_during_another_append_go_into_one_batch(
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


async def test_refusal_reaches_only_the_caller_of_that_part(commits: GroupCommit, slow: SlowLog) -> None:
    first = await under_way(slow, commits)
    good, stale, more = (
        begin(commits, (event("a"),)),
        begin(commits, (evaluated("j", 99),)),
        begin(commits, (event("b"),)),
    )
    await asyncio.sleep(0)
    slow.gate.set()
    kinds = [type(outcomes[0]) for outcomes in await asyncio.gather(first, good, stale, more)]
    assert kinds == [Accepted, Accepted, Refused, Accepted]


async def test_part_that_cannot_be_encoded_fails_only_its_caller(commits: GroupCommit, slow: SlowLog) -> None:
    first = await under_way(slow, commits)
    good, bad = begin(commits, (event("a"),)), begin(commits, (event("b"), unencodable("bad")))
    with pytest.raises(SerializationError):
        await bad
    slow.gate.set()
    assert await first == [Accepted(1)]
    assert await good == [Accepted(2)]


async def test_part_that_the_log_rejects_fails_only_its_caller(commits: GroupCommit, slow: SlowLog) -> None:
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


async def test_batch_respects_the_entry_limit(commits: GroupCommit, slow: SlowLog) -> None:
    first = await under_way(slow, commits)
    tasks = [begin(commits, (event(f"e{n}"),)) for n in range(9)]
    await asyncio.sleep(0)
    slow.gate.set()
    await asyncio.gather(first, *tasks)
    assert [len(batch) for batch in slow.batches] == [1, 4, 4, 1]


async def test_batch_respects_the_byte_limit(commits: GroupCommit, slow: SlowLog) -> None:
    first = await under_way(slow, commits)
    tasks = [begin(commits, (event(f"e{n}", "x" * 900),)) for n in range(3)]
    await asyncio.sleep(0)
    slow.gate.set()
    await asyncio.gather(first, *tasks)
    assert [len(batch) for batch in slow.batches] == [1, 2, 1]


async def test_call_larger_than_a_batch_is_appended_alone(commits: GroupCommit, slow: SlowLog) -> None:
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


async def test_failed_append_is_resent_unchanged_before_newer_appends(commits: GroupCommit, slow: SlowLog) -> None:
    first = await under_way(slow, commits)
    newer = begin(commits, (event("newer"),))
    await asyncio.sleep(0)
    slow.errors = [BackendUnavailable("gone")] * 2
    slow.gate.set()
    assert await first == [Accepted(1)]
    assert await newer == [Accepted(2)]
    assert slow.batches == [[["first"]]] * 3 + [[["newer"]]]


async def test_append_that_keeps_failing_fails_only_its_batch(commits: GroupCommit, slow: SlowLog) -> None:
    first = await under_way(slow, commits)
    newer = begin(commits, (event("newer"),))
    await asyncio.sleep(0)
    slow.errors = [BackendUnavailable("gone")] * 3
    slow.gate.set()
    with pytest.raises(BackendUnavailable, match="gone"):
        await first
    assert isinstance((await newer)[0], Accepted)


async def test_append_of_unknown_effect_is_resent_before_the_next_batch(
    commits: GroupCommit, slow: SlowLog, memory: EventLog
) -> None:
    first = await under_way(slow, commits)
    slow.errors = [BackendUnavailable("gone")] * 3
    slow.gate.set()
    with pytest.raises(BackendUnavailable):
        await first
    assert await append(commits, (event("next"),)) == Accepted(2)
    assert await ids(memory) == ["first", "next"]


async def test_append_that_stored_nothing_is_not_resent_after_its_callers_failed(
    commits: GroupCommit, slow: SlowLog, memory: EventLog
) -> None:
    first = await under_way(slow, commits)
    slow.errors = [NothingStored("full")] * 3
    slow.gate.set()
    with pytest.raises(NothingStored):
        await first
    await append(commits, (event("again"),))
    assert await ids(memory) == ["again"]


async def test_one_doubtful_error_is_enough_to_resend_an_append_later(
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


async def test_append_with_a_permanent_error_is_not_resent(commits: GroupCommit, slow: SlowLog) -> None:
    first = await under_way(slow, commits)
    slow.errors = [ValueError("wrong")]
    slow.gate.set()
    with pytest.raises(ValueError, match="wrong"):
        await first
    assert isinstance(await append(commits, (event("a"),)), Accepted)
    assert slow.batches == [[["first"]], [["a"]]]


async def test_caller_cancelled_before_its_turn_appends_nothing(
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


async def test_caller_cancelled_during_an_append_does_not_affect_others(
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


async def test_timeout_of_one_caller_does_not_stop_the_flush(commits: GroupCommit, slow: SlowLog) -> None:
    other = None
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            other = begin(commits, (event("other"),))
            await append(commits, (event("a"),))
    slow.gate.set()
    assert other is not None
    assert isinstance((await other)[0], Accepted)


async def test_next_caller_is_served_after_all_others_were_cancelled(commits: GroupCommit, slow: SlowLog) -> None:
    tasks = [begin(commits, (event(name),)) for name in "abc"]
    await slow.entered.wait()
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    slow.gate.set()
    assert isinstance(await append(commits, (event("d"),)), Accepted)


@pytest.mark.parametrize("started", [True, False])
async def test_cancelled_flush_fails_its_callers(commits: GroupCommit, slow: SlowLog, started: bool) -> None:
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


async def test_close_flushes_waiting_appends(commits: GroupCommit, slow: SlowLog, memory: EventLog) -> None:
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


async def test_flush_task_ends_when_no_caller_waits(commits: GroupCommit, slow: SlowLog) -> None:
    slow.gate.set()
    before = asyncio.all_tasks()
    await append(commits, (event("a"),))
    await asyncio.sleep(0)
    assert asyncio.all_tasks() == before


async def test_each_of_many_callers_gets_its_own_position(
    commits: GroupCommit, slow: SlowLog, memory: EventLog
) -> None:
    slow.gate.set()
    outcomes = await asyncio.gather(*(append(commits, (event(f"e{n}"),)) for n in range(200)))
    found = await ids(memory)
    for number, outcome in enumerate(outcomes):
        assert isinstance(outcome, Accepted)
        assert found[outcome.position - 1] == f"e{number}"
