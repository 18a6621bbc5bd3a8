"""Appending: order, atomicity, duplicates, terms."""

from __future__ import annotations

import asyncio
from typing import cast

import msgspec
import pytest

from trigger_engine._engine.lifecycle import InvocationState, InvocationStatus
from trigger_engine._model.entries import AnyEntry, EventEmitted
from trigger_engine.backend._claim_tracking import start_entry
from trigger_engine.backend._contract import Accepted, EventLog, Refused
from trigger_engine.errors import SerializationError
from trigger_engine.testing.conformance._harness import (
    LogHarness,
    LogSuite,
    append,
    assert_stale,
    ids,
    read_all,
)
from trigger_engine.testing.conformance._sample_entries import TIME, elected, evaluated, event, fired, registration


class AppendingSuite(LogSuite):
    """Appended entries are in the log, once and in order."""

    async def test_entries_are_read_back_unchanged(self, log: EventLog) -> None:
        entries: list[AnyEntry] = [
            event("e1", {"text": "ü", "list": [1, 2.5, None, True], "bytes": b"\x00\xff"}),
            event("e2", keyed=True),
            registration("i1", queue="slow", not_before=1.5),
            elected("l1"),
        ]
        await log.append([(entry,) for entry in entries])
        assert [entry for _, entry in await read_all(log)] == entries

    async def test_an_outcome_has_the_position_of_its_part(self, log: EventLog) -> None:
        outcomes = await log.append([(event("a1"), event("a2")), (event("b"),)])
        places = {entry.id: position for position, entry in await read_all(log)}
        for outcome, entry_ids in zip(outcomes, (["a1", "a2"], ["b"]), strict=True):
            assert isinstance(outcome, Accepted)
            assert all(places[entry_id] >= outcome.position > 0 for entry_id in entry_ids)

    async def test_parts_and_appends_keep_their_order(self, log: EventLog) -> None:
        await log.append([(event("a"), event("b")), (event("c"),)])
        await log.append([(event("d"),)])
        found = await read_all(log)
        assert [entry.id for _, entry in found] == ["a", "b", "c", "d"]
        assert [position for position, _ in found] == sorted({position for position, _ in found})

    async def test_an_empty_append_does_nothing(self, log: EventLog) -> None:
        assert await log.append([]) == []
        assert await ids(log) == []

    async def test_a_resent_entry_is_skipped(self, log: EventLog) -> None:
        first = await append(log, event("a", {"n": 1}))
        again = await append(log, event("a", {"n": 2}))
        assert again <= first
        assert [entry for _, entry in await read_all(log)] == [event("a", {"n": 1})]

    async def test_an_id_repeated_in_one_append_is_stored_once(self, log: EventLog) -> None:
        await log.append([(event("a", {"n": 1}), event("a", {"n": 2})), (event("a", {"n": 3}),)])
        assert [entry for _, entry in await read_all(log)] == [event("a", {"n": 1})]

    async def test_a_partly_stored_part_is_completed(self, log: EventLog) -> None:
        await append(log, event("a"))
        position = await append(log, event("a"), event("b"))
        assert await ids(log) == ["a", "b"]
        assert position <= (await read_all(log))[0][0]

    async def test_nothing_is_stored_if_an_entry_cannot_be_encoded(self, log: EventLog) -> None:
        with pytest.raises(SerializationError):
            await log.append([(event("a"),), (event("b"), _unencodable("c"))])
        assert await ids(log) == []

    async def test_a_very_large_entry_is_stored(self, log: EventLog) -> None:
        large = event("large", {"text": "x" * 1_000_000})
        await append(log, large)
        assert [entry for _, entry in await read_all(log)] == [large]

    async def test_concurrent_writers_lose_nothing_and_keep_their_order(self, harness: LogHarness) -> None:
        async def append_many(log: EventLog, name: str) -> None:
            for number in range(20):
                await append(log, event(f"{name}-{number:02}a"), event(f"{name}-{number:02}b"))

        async with await harness.open() as one, await harness.open() as two:
            await asyncio.gather(*(append_many(log, f"{n}{m}") for n, log in enumerate((one, two)) for m in range(5)))
            found = await ids(one)
            assert found == await ids(two)
        assert len(found) == len(set(found)) == 2 * 5 * 20 * 2
        for name in {entry_id[:2] for entry_id in found}:
            own = [entry_id for entry_id in found if entry_id.startswith(name)]
            assert own == sorted(own)
        assert all(first[:-1] == second[:-1] for first, second in zip(found[::2], found[1::2], strict=True))

    async def test_concurrent_appends_of_one_id_store_it_once(self, harness: LogHarness) -> None:
        async with await harness.open() as one, await harness.open() as two:
            same = [log.append([(event("same", {"n": n}, keyed=True),)]) for log in (one, two) for n in range(10)]
            await asyncio.gather(*same)
            assert await ids(one) == ["same"]

    async def test_a_cancelled_append_leaves_the_log_usable(self, log: EventLog) -> None:
        tasks = [asyncio.create_task(append(log, event(f"e{n}"))) for n in range(20)]
        await asyncio.sleep(0)
        for task in tasks[::2]:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await append(log, event("last"))
        # Cancelled appends may still take effect, even after the last one.
        acknowledged = {f"e{n}" for n in range(1, 20, 2)}
        found = [each for each in await ids(log) if each in {*acknowledged, "last"}]
        assert set(found[:-1]) == acknowledged
        assert found[-1] == "last"


class TermsSuite(LogSuite):
    """Entries of a leader are void unless its term is current."""

    async def test_the_current_leader_may_append(self, log: EventLog) -> None:
        term = await append(log, elected("l1"))
        await append(log, evaluated("j1", term))
        assert await ids(log) == ["l1", "j1"]

    async def test_a_replaced_leader_is_refused(self, log: EventLog) -> None:
        old = await append(log, elected("l1"))
        new = await append(log, elected("l2", runner_id="runner-2"))
        (outcome,) = await log.append([(evaluated("j1", old),)])
        assert_stale(log, outcome)
        await append(log, evaluated("j2", new))

    async def test_an_unknown_term_is_refused(self, log: EventLog) -> None:
        await append(log, event("a"))
        (outcome,) = await log.append([(evaluated("j1", 1),)])
        assert_stale(log, outcome)

    async def test_evaluating_entries_beyond_the_tail_is_refused(self, log: EventLog) -> None:
        term = await append(log, elected("l1"))
        ahead = (await log.tail()).position + 100_000_000
        (outcome,) = await log.append([(fired("r1", term), evaluated("j1", term, ahead))])
        if log.tells_stale:
            assert isinstance(outcome, Refused)
            assert await ids(log) == ["l1"]

    async def test_a_refused_part_does_not_affect_other_parts(self, log: EventLog) -> None:
        old = await append(log, elected("l1"))
        await append(log, elected("l2"))
        outcomes = await log.append([(event("a"),), (evaluated("j1", old), fired("r1", old)), (event("b"),)])
        assert_stale(log, outcomes[1])
        assert isinstance(outcomes[0], Accepted)
        assert isinstance(outcomes[2], Accepted)
        if log.tells_stale:
            assert await ids(log) == ["l1", "l2", "a", "b"]
        assert await log.invocation(fired("r1", old).invocation_id) is None

    async def test_later_parts_of_one_append_see_earlier_ones(self, log: EventLog) -> None:
        term = await append(log, elected("l1"))
        outcomes = await log.append([(evaluated("j1", term),), (elected("l2"),), (evaluated("j2", term),)])
        assert isinstance(outcomes[0], Accepted)
        assert isinstance(outcomes[1], Accepted)
        assert_stale(log, outcomes[2])

    async def test_the_start_of_a_refused_run_is_refused_too(self, log: EventLog) -> None:
        old = await append(log, elected("l1"))
        new = await append(log, elected("l2"))
        run = fired("r1", old)
        start = start_entry(run, InvocationState(), runner_id="runner-1", now=TIME)
        outcomes = await log.append([(run, evaluated("j1", old)), (start,), (event("a"),)])
        assert_stale(log, outcomes[0])
        assert_stale(log, outcomes[1])
        assert isinstance(outcomes[2], Accepted)
        if log.tells_stale:
            assert await ids(log) == ["l1", "l2", "a"]
        await append(log, fired("r1", new))
        found = await log.invocation(run.invocation_id)
        assert found is not None
        assert found.state.status is InvocationStatus.REGISTERED

    async def test_a_leader_of_another_name_replaces_nobody(self, log: EventLog) -> None:
        term = await append(log, elected("l1", name="match"))
        other = await append(log, elected("l2", name="match/2"))
        await append(log, evaluated("j1", term))
        await append(log, evaluated("j2", other))

    async def test_a_resent_entry_of_a_replaced_leader_is_accepted(self, log: EventLog) -> None:
        old = await append(log, elected("l1"))
        first = await append(log, evaluated("j1", old))
        await append(log, elected("l2"))
        assert await append(log, evaluated("j1", old)) <= first

    async def test_a_trigger_run_is_created_once(self, log: EventLog) -> None:
        term = await append(log, elected("l1"))
        await append(log, fired("r1", term), evaluated("j1", term))
        await append(log, fired("r1", term), evaluated("j2", term))
        assert await ids(log) == ["l1", "r1", "j1", "j2"]


def _unencodable(entry_id: str) -> EventEmitted:
    return msgspec.structs.replace(event(entry_id), event_code=cast(str, object()))
