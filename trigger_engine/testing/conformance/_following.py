"""Following: no gaps, no late entries, quick wake-ups, and an error when entries are missing."""

from __future__ import annotations

import asyncio
import threading

import msgspec
import pytest

from trigger_engine.backend._contract import Batch, Cursor, EventLog
from trigger_engine.errors import LogReplaced
from trigger_engine.testing.conformance._harness import PATIENCE, LogHarness, LogSuite, append, ids, read_all
from trigger_engine.testing.conformance._sample_entries import event


class FollowingSuite(LogSuite):
    """Readers get every entry, once and in order."""

    async def test_an_empty_log_has_nothing_to_read(self, log: EventLog) -> None:
        start = await log.start()
        assert await log.follow(start) == Batch([], start)
        assert start.log_id == log.log_id
        assert (await log.follow(await log.tail())).entries == []

    async def test_batches_are_limited_and_continue_where_the_last_one_ended(self, log: EventLog) -> None:
        await append(log, *(event(f"e{n}") for n in range(7)))
        whole = await read_all(log)
        assert await read_all(log, limit=3) == whole
        assert [entry.id for _, entry in whole] == [f"e{n}" for n in range(7)]

    async def test_reading_may_continue_after_any_entry(self, log: EventLog) -> None:
        await append(log, *(event(f"e{n}") for n in range(4)))
        whole = await read_all(log)
        for index, (position, entry) in enumerate(whole):
            assert await read_all(log, Cursor(log.log_id, position, entry.id)) == whole[index + 1 :]
            assert await read_all(log, Cursor(log.log_id, position)) == whole[index + 1 :]

    async def test_the_tail_is_at_or_after_every_returned_append(self, log: EventLog) -> None:
        for number in range(3):
            position = await append(log, event(f"e{number}"))
            assert (await log.tail()).position >= position
        assert (await log.follow(await log.tail())).entries == []

    async def test_a_wait_without_entries_ends_empty(self, log: EventLog) -> None:
        tail = await log.tail()
        async with asyncio.timeout(PATIENCE):
            assert await log.follow(tail, wait=0.02) == Batch([], tail)

    async def test_an_append_wakes_a_waiting_reader(self, harness: LogHarness) -> None:
        async with await harness.open() as reader, await harness.open() as writer:
            tail = await reader.tail()
            waiting = asyncio.create_task(reader.follow(tail, wait=10 * PATIENCE))
            await asyncio.sleep(0)
            await append(writer, event("a"))
            async with asyncio.timeout(PATIENCE):
                assert [entry.id for _, entry in (await waiting).entries] == ["a"]

    async def test_an_append_wakes_a_reader_on_another_loop(self, harness: LogHarness) -> None:
        begun = threading.Event()
        found: list[str] = []

        async def read() -> None:
            async with await harness.open() as log:
                start = await log.start()
                begun.set()
                found.extend(entry.id for _, entry in (await log.follow(start, wait=10 * PATIENCE)).entries)

        async with await harness.open() as log:
            thread = threading.Thread(target=asyncio.run, args=(read(),))
            thread.start()
            await asyncio.to_thread(begun.wait, PATIENCE)
            await append(log, event("a"))
            await asyncio.to_thread(thread.join, PATIENCE)
        assert found == ["a"]

    async def test_a_cancelled_reader_leaves_the_log_usable(self, log: EventLog) -> None:
        waiting = asyncio.create_task(log.follow(await log.tail(), wait=10 * PATIENCE))
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        await append(log, event("a"))
        assert await ids(log) == ["a"]

    async def test_readers_racing_writers_see_one_order_without_gaps(self, harness: LogHarness) -> None:
        total = 4 * 25

        async def write(log: EventLog, name: str) -> None:
            for number in range(25):
                await append(log, event(f"{name}{number:02}"))

        async def read(log: EventLog) -> list[str]:
            cursor = await log.start()
            found: list[str] = []
            while len(found) < total:
                batch = await log.follow(cursor, limit=7, wait=PATIENCE)
                found += [entry.id for _, entry in batch.entries]
                cursor = batch.cursor
            return found

        async with await harness.open() as one, await harness.open() as two, asyncio.timeout(3 * PATIENCE):
            readers = [asyncio.create_task(read(log)) for log in (one, two, two)]
            await asyncio.gather(*(write(log, name) for log, name in ((one, "a"), (one, "b"), (two, "c"), (two, "d"))))
            seen = await asyncio.gather(*readers)
            final = await ids(one)
        assert len(set(final)) == total
        assert seen == [final] * 3

    async def test_a_cursor_of_another_log_is_refused(self, log: EventLog) -> None:
        await append(log, event("a"))
        with pytest.raises(LogReplaced):
            await log.follow(msgspec.structs.replace(await log.start(), log_id="another"))

    async def test_a_cursor_beyond_the_tail_is_refused(self, log: EventLog) -> None:
        await append(log, event("a"))
        tail = await log.tail()
        for entry_id in ("e", ""):
            with pytest.raises(LogReplaced):
                await log.follow(Cursor(tail.log_id, tail.position + 1_000_000, entry_id))

    async def test_a_cursor_with_another_entry_id_is_refused(self, log: EventLog) -> None:
        await append(log, event("a"), event("b"))
        (position, _), _ = await read_all(log)
        with pytest.raises(LogReplaced):
            await log.follow(Cursor(log.log_id, position, "another"))


class SharedStoreSuite(LogSuite):
    """Several openings of one app share a log; several apps of one store share nothing."""

    async def test_openings_read_each_others_entries(self, harness: LogHarness) -> None:
        async with await harness.open() as one, await harness.open() as two:
            await append(one, event("a"))
            await append(two, event("b"))
            assert await ids(one) == await ids(two) == ["a", "b"]
            assert one.log_id == two.log_id

    async def test_closing_one_opening_does_not_affect_others(self, harness: LogHarness) -> None:
        async with await harness.open() as one:
            two = await harness.open()
            await append(two, event("a"))
            await two.close()
            await two.close()
            assert await ids(one) == ["a"]

    async def test_entries_outlive_every_opening(self, harness: LogHarness) -> None:
        async with await harness.open() as log:
            await append(log, event("a"))
            tail = await log.tail()
        async with await harness.open() as log:
            assert await ids(log) == ["a"]
            assert await log.tail() == tail

    async def test_apps_of_one_store_are_separate(self, harness: LogHarness) -> None:
        async with await harness.open("shop") as shop, await harness.open("bank") as bank:
            await append(shop, event("a"))
            await append(bank, event("a", {"n": 2}))
            await append(bank, event("b"))
            assert (await ids(shop), await ids(bank)) == (["a"], ["a", "b"])
            assert shop.log_id != bank.log_id
            with pytest.raises(LogReplaced):
                await bank.follow(await shop.tail())
            assert await shop.acquire("match", "runner-1", ttl=60)
            assert await bank.acquire("match", "runner-2", ttl=60)
            await bank.clear()
            assert await ids(shop) == ["a"]

    async def test_a_busy_app_does_not_disturb_a_reader_of_another(self, harness: LogHarness) -> None:
        async with await harness.open("shop") as shop, await harness.open("bank") as bank:
            waiting = asyncio.create_task(bank.follow(await bank.start(), wait=10 * PATIENCE))
            for number in range(20):
                await append(shop, event(f"e{number}"))
            assert not waiting.done()
            await append(bank, event("a"))
            async with asyncio.timeout(PATIENCE):
                assert [entry.id for _, entry in (await waiting).entries] == ["a"]


class ReplacedLogSuite(LogSuite):
    """Restoring an older state of the store is noticed."""

    async def test_a_reader_of_lost_entries_gets_an_error(self, harness: LogHarness) -> None:
        async with await _restorable(harness) as log:
            await append(log, event("a"))
            saved = await harness.save()
            await append(log, event("b"), event("c"))
            lost = await log.tail()
            await harness.restore(saved)
            with pytest.raises(LogReplaced):
                await log.follow(lost)

    async def test_a_restore_is_noticed_even_if_the_lost_position_was_filled_again(self, harness: LogHarness) -> None:
        async with await _restorable(harness) as log:
            await append(log, event("a"))
            saved = await harness.save()
            await append(log, event("b"))
            lost = await log.tail()
            await harness.restore(saved)
            await append(log, *(event(f"new{n}") for n in range(5)))
            with pytest.raises(LogReplaced):
                await log.follow(lost)

    async def test_the_log_continues_from_the_older_state(self, harness: LogHarness) -> None:
        async with await _restorable(harness) as log:
            await append(log, event("a"))
            kept = await log.tail()
            saved = await harness.save()
            await append(log, event("b"))
            await harness.restore(saved)
            assert await ids(log) == ["a"]
            await append(log, event("c"))
            assert [entry.id for _, entry in await read_all(log, kept)] == ["c"]

    async def test_a_waiting_reader_gets_an_error(self, harness: LogHarness) -> None:
        async with await _restorable(harness) as log:
            saved = await harness.save()
            await append(log, event("a"))
            waiting = asyncio.create_task(log.follow(await log.tail(), wait=10 * PATIENCE))
            await asyncio.sleep(0)
            await harness.restore(saved)
            await append(log, event("b"))
            async with asyncio.timeout(PATIENCE):
                with pytest.raises(LogReplaced):
                    await waiting


async def _restorable(harness: LogHarness) -> EventLog:
    if not harness.can_restore:
        pytest.skip("this store cannot be restored to an older state")
    return await harness.open()
