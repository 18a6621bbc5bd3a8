"""The rows of invocations, which several processes write at once."""

import asyncio
import time
from collections.abc import Mapping
from typing import Any

import pytest
from motor.motor_asyncio import AsyncIOMotorCollection
from pymongo.errors import BulkWriteError
from trigger_engine_mongodb import projection
from trigger_engine_mongodb.backend import MongoSettings, MongoTrigger
from trigger_engine_mongodb.reading import Reader
from trigger_engine_mongodb.run_queue import Open

from tests.support.servers.shared import SharedServers
from trigger_engine.core.lifecycle import InvocationState, InvocationStatus
from trigger_engine.log.contract import Accepted, Invocation
from trigger_engine.log.fresh import fresh_id
from trigger_engine.testing.conformance.claiming import claim
from trigger_engine.testing.conformance.harness import PATIENCE
from trigger_engine.testing.conformance.sample_entries import (
    cancelled,
    event,
    recovered,
    registration,
    runner_facts,
    succeeded,
)

pytestmark = pytest.mark.servers


@pytest.mark.parametrize("limit", [projection.STEP, 2])
async def test_rows_of_a_log_that_never_rests_come_to_an_end(
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


async def test_looks_at_rows_share_what_is_read_but_never_miss_what_is_there_already(
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


async def test_a_row_that_another_makes_in_the_same_moment_is_taken_as_far_as_the_log(
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
        # Between the look for the row and its insert, the other one makes it.
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


async def test_rows_of_which_a_majority_has_not_heard_are_written_again(
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


async def test_a_runner_that_settles_and_leaves_during_a_look_for_orphans_leaves_none(
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


async def test_rows_follow_while_somebody_looks_for_orphans(
    servers: SharedServers, monkeypatch: pytest.MonkeyPatch
) -> None:
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


async def test_an_orphan_that_is_claimed_anew_during_the_look_is_none(
    servers: SharedServers, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = MongoSettings(url=servers.url("mongodb"), database=f"test-{fresh_id()}")
    async with await MongoTrigger(settings, app_id="shop").open(clock=time.time) as log:
        await log.append([(registration("i1"),)])
        (held,) = (await claim(log, "lost")).started
        assert await log.orphans() == [held]
        look = log._projection.held

        async def claimed_anew(wanted: Mapping[str, Open]) -> list[Invocation]:
            monkeypatch.undo()
            await log.append([(recovered(held),)])
            await claim(log, "runner-2")
            return await look(wanted)

        monkeypatch.setattr(log._projection, "held", claimed_anew)
        assert await log.orphans() == []
