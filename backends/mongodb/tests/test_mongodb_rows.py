"""The rows of invocations, written by several processes at once."""

import asyncio
import time
from collections.abc import Mapping
from typing import Any

import pytest
from motor.motor_asyncio import AsyncIOMotorCollection
from pymongo.errors import BulkWriteError
from trigger_engine_mongodb import projection
from trigger_engine_mongodb.backend import MongoTrigger
from trigger_engine_mongodb.reading import Reader
from trigger_engine_mongodb.run_queue import OpenInvocation
from trigger_engine_mongodb.settings import MongoSettings

from tests.support.servers.shared import SharedServers
from trigger_engine.backend import Accepted, Invocation, InvocationState, InvocationStatus, fresh_id
from trigger_engine.testing.conformance._claiming import claim
from trigger_engine.testing.conformance._harness import PATIENCE
from trigger_engine.testing.conformance._sample_entries import (
    cancelled,
    event,
    recovered,
    registration,
    runner_facts,
    succeeded,
)

pytestmark = pytest.mark.servers


@pytest.mark.parametrize("limit", [projection.STEP, 2])
async def test_updating_rows_ends_even_if_the_log_keeps_growing(
    servers: SharedServers, monkeypatch: pytest.MonkeyPatch, limit: int
) -> None:
    monkeypatch.setattr(projection, "STEP", limit)
    settings = MongoSettings(url=servers.url("mongodb"), database=f"test-{fresh_id()}")
    backend = MongoTrigger(settings, app_id="shop")
    read_on = Reader.read_on

    async with await backend.open(clock=time.time) as log, await backend.open(clock=time.time) as busy:
        await log.append([(registration(f"i{n}"),) for n in range(5)])

        async def overtaken(reader: Reader, *args: Any, **options: Any) -> Any:
            if reader is log._reader:
                await busy.append([(event(fresh_id()),)])
            return await read_on(reader, *args, **options)

        monkeypatch.setattr(Reader, "read_on", overtaken)
        async with asyncio.timeout(PATIENCE):
            found = await asyncio.gather(*(log.invocation(f"i{n}") for n in range(5)))
            await log.trim(await log.start(), keys_before=0.0)
        assert [each is not None and each.registration.invocation_id for each in found] == [f"i{n}" for n in range(5)]


async def test_row_updates_are_shared_but_never_miss_earlier_entries(
    servers: SharedServers, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = MongoSettings(url=servers.url("mongodb"), database=f"test-{fresh_id()}")
    read_on, reads = Reader.read_on, 0
    under_way, go_on = asyncio.Event(), asyncio.Event()

    async def counted(reader: Reader, *args: Any, **options: Any) -> Any:
        nonlocal reads
        reads += 1
        found = await read_on(reader, *args, **options)
        under_way.set()
        await go_on.wait()
        return found

    async with await MongoTrigger(settings, app_id="shop").open(clock=time.time) as log:
        await log.append([(registration("i1"),)])
        monkeypatch.setattr(Reader, "read_on", counted)
        first = asyncio.create_task(log.invocation("i1"))
        await under_way.wait()
        await log.append([(registration("i2"),)])
        later = [asyncio.create_task(log.invocation("i2")) for _ in range(20)]
        await asyncio.sleep(0)
        go_on.set()
        assert await first is not None
        assert None not in await asyncio.gather(*later)
        assert reads == 2


async def test_a_row_inserted_by_two_processes_gets_the_newest_state(
    servers: SharedServers, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = MongoSettings(url=servers.url("mongodb"), database=f"test-{fresh_id()}")
    call = registration("i1")
    backend = MongoTrigger(settings, app_id="shop")
    insert_many = AsyncIOMotorCollection.insert_many
    slow, ahead, written = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def raced(collection: Any, rows: list[Any], **options: Any) -> Any:
        if not slow.is_set():
            slow.set()
            await ahead.wait()
            done = await insert_many(collection, rows, **options)
            written.set()
            return done
        # The other process inserts the row between this one's look and its insert.
        ahead.set()
        await written.wait()
        return await insert_many(collection, rows, **options)

    async with await backend.open(clock=time.time) as one, await backend.open(clock=time.time) as other:
        await one.append([(call,)])
        monkeypatch.setattr(AsyncIOMotorCollection, "insert_many", raced)
        behind = asyncio.create_task(other.invocation("i1"))
        await slow.wait()
        await one.append([(cancelled(Invocation(call, 0, InvocationState(), call)),)])
        found = await one.invocation("i1")
        assert found is not None
        assert found.state.status is InvocationStatus.CANCELLED
        await behind


async def test_rows_without_a_majority_are_written_again(
    servers: SharedServers, monkeypatch: pytest.MonkeyPatch
) -> None:
    insert_many = AsyncIOMotorCollection.insert_many
    failed: list[int] = []

    async def interrupted(collection: Any, rows: list[Any], **options: Any) -> Any:
        done = await insert_many(collection, rows, **options)
        if not failed:
            failed.append(1)
            raise BulkWriteError({"writeErrors": [], "writeConcernErrors": [{"code": 91}]})
        return done

    monkeypatch.setattr(AsyncIOMotorCollection, "insert_many", interrupted)
    settings = MongoSettings(url=servers.url("mongodb"), database=f"test-{fresh_id()}")
    async with await MongoTrigger(settings, app_id="shop").open(clock=time.time) as log:
        await log.append([(registration("i1"),)])
        assert await log.invocation("i1") is not None
    assert failed


async def test_a_runner_that_settles_and_leaves_during_orphans_leaves_none(
    servers: SharedServers, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = MongoSettings(url=servers.url("mongodb"), database=f"test-{fresh_id()}")
    async with await MongoTrigger(settings, app_id="shop").open(clock=time.time) as log:
        follow = log._queue.follow
        await log.heartbeat(runner_facts("runner-1"), ttl=60.0)
        await log.append([(registration("i1"),)])
        (held,) = (await claim(log, "runner-1")).started

        async def follow_and_leave() -> None:
            await follow()
            await log.append([(succeeded(held),)])
            await log.leave("runner-1")

        monkeypatch.setattr(log._queue, "follow", follow_and_leave)
        assert await log.orphans() == []


async def test_orphans_keeps_the_rows_up_to_date(servers: SharedServers, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(projection, "KEEP_UP_SECONDS", 0.0)
    settings = MongoSettings(url=servers.url("mongodb"), database=f"test-{fresh_id()}")
    async with await MongoTrigger(settings, app_id="shop").open(clock=time.time) as log:
        (outcome,) = await log.append([(registration("i1"),)])
        assert isinstance(outcome, Accepted)
        assert (await log._store.head()).projected < outcome.position
        await log.orphans()
        assert log._keeping_up is not None
        await log._keeping_up
        assert (await log._store.head()).projected >= outcome.position


async def test_an_orphan_claimed_again_meanwhile_is_not_returned(
    servers: SharedServers, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = MongoSettings(url=servers.url("mongodb"), database=f"test-{fresh_id()}")
    async with await MongoTrigger(settings, app_id="shop").open(clock=time.time) as log:
        await log.append([(registration("i1"),)])
        (held,) = (await claim(log, "lost")).started
        assert await log.orphans() == [held]
        held_rows = log._projection.held

        async def claimed_again(wanted: Mapping[str, OpenInvocation]) -> list[Invocation]:
            monkeypatch.undo()
            await log.append([(recovered(held),)])
            await claim(log, "runner-2")
            return await held_rows(wanted)

        monkeypatch.setattr(log._projection, "held", claimed_again)
        assert await log.orphans() == []
