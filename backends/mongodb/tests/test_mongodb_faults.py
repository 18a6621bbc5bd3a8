"""The server is stopped, killed or cut off, and writers die: no acknowledged entry is lost or stored twice."""

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import msgspec
import pytest
from pymongo.asynchronous.change_stream import AsyncChangeStream
from pymongo.errors import AutoReconnect
from trigger_engine_mongodb import appending
from trigger_engine_mongodb.backend import MongoTrigger
from trigger_engine_mongodb.settings import MongoSettings

from tests.support.servers.mongodb_servers import MongoServer
from tests.support.servers.proxy import proxied
from tests.support.servers.shared import SharedServers
from tests.support.waiting import wait_until
from trigger_engine.backend import EventLog, fresh_id
from trigger_engine.errors import BackendUnavailable, SerializationError
from trigger_engine.testing.conformance._claiming import claim, names
from trigger_engine.testing.conformance._harness import append, ids
from trigger_engine.testing.conformance._sample_entries import elected, evaluated, event, raw, registration

pytestmark = pytest.mark.servers

Driver = Literal["motor", "pymongo"]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[MongoServer]:
    """A server for one test."""
    with MongoServer(tmp_path / "server") as server:
        yield server


async def open_log(url: str, *, timeout: float = 30.0, hole_timeout: float = 1.0, driver: Driver = "motor") -> EventLog:
    settings = MongoSettings(
        url=url, database=f"test-{fresh_id()}", timeout=timeout, hole_timeout=hole_timeout, driver=driver
    )
    return await MongoTrigger(settings, app_id="shop").open(clock=time.time)


class Gate:
    """Stops writers between reserving a position and filling it, until `open` is set."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.open, self.held = asyncio.Event(), 0
        fill = appending._Append._fill

        async def held_fill(writer: Any, number: int, base: int, left: Any) -> bool:
            if not self.open.is_set():
                self.held += 1
                await self.open.wait()
            return await fill(writer, number, base, left)

        monkeypatch.setattr(appending._Append, "_fill", held_fill)


async def test_log_reconnects_after_a_server_restart(server: MongoServer) -> None:
    async with await open_log(server.url) as log:
        await append(log, event("a"))
        waiting = asyncio.create_task(log.follow(await log.tail(), wait=60))
        await asyncio.to_thread(server.stop)
        appending = asyncio.create_task(append(log, event("b")))
        await asyncio.to_thread(server.start)
        await appending
        while not (batch := await waiting).entries:
            waiting = asyncio.create_task(log.follow(batch.cursor, wait=60))
        assert [entry.id for _, entry in batch.entries] == ["b"]
        assert await ids(log) == ["a", "b"]


async def test_acknowledged_entries_survive_a_server_kill(server: MongoServer) -> None:
    acknowledged: list[str] = []

    async def append_forever(log: EventLog, name: str) -> None:
        for number in range(100_000):
            await append(log, event(f"{name}-{number}"))
            acknowledged.append(f"{name}-{number}")

    async with await open_log(server.url) as log:
        writers = [asyncio.create_task(append_forever(log, name)) for name in "abc"]
        await wait_until(lambda: len(acknowledged) > 100)
        await asyncio.to_thread(server.kill)
        before = len(acknowledged)
        await asyncio.to_thread(server.start)
        await wait_until(lambda: len(acknowledged) > before + 100)
        for writer in writers:
            writer.cancel()
        await asyncio.gather(*writers, return_exceptions=True)
        found = await ids(log)
    assert len(found) == len(set(found))
    assert set(acknowledged) <= set(found)


async def test_an_append_with_lost_answers_is_completed_once(servers: SharedServers) -> None:
    async with proxied(servers.url("mongodb")) as proxy, await open_log(proxy.url, timeout=12) as log:
        await append(log, event("a"))
        proxy.swallow_answers(3)
        await log.append([(event(f"b{n}"),) for n in range(100)])
        assert proxy.cuts >= 3
        assert await ids(log) == ["a", *(f"b{n}" for n in range(100))]


async def test_a_claim_with_lost_answers_strands_nothing(servers: SharedServers) -> None:
    async with proxied(servers.url("mongodb")) as proxy, await open_log(proxy.url, timeout=12) as log:
        await append(log, *(registration(f"i{n}") for n in range(5)))
        proxy.swallow_answers(5)
        claims = await claim(log)
        assert sorted(names([*claims.started, *claims.stranded])) == [f"i{n}" for n in range(5)]


async def test_readers_pass_a_position_that_its_writer_does_not_fill(
    servers: SharedServers, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with await open_log(servers.url("mongodb")) as log:
        await append(log, event("a"))
        gate = Gate(monkeypatch)
        late = asyncio.create_task(append(log, event("late")))
        await wait_until(lambda: gate.held == 1)
        monkeypatch.undo()
        await append(log, event("b"))
        assert await ids(log) == ["a", "b"]
        gate.open.set()
        await late
        assert await ids(log) == ["a", "b", "late"]


async def test_a_passed_and_trimmed_position_is_not_filled(
    servers: SharedServers, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with await open_log(servers.url("mongodb")) as log:
        gate = Gate(monkeypatch)
        late = asyncio.create_task(append(log, event("late")))
        await wait_until(lambda: gate.held == 1)
        monkeypatch.undo()
        await append(log, event("a"))
        await append(log, event("b"))
        assert await ids(log) == ["a", "b"]
        while await log.trim(await log.tail(), keys_before=0):
            pass
        gate.open.set()
        await late
        assert await ids(log) == ["b", "late"]


async def test_a_leader_replaced_after_its_reservation_writes_nothing(
    servers: SharedServers, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with await open_log(servers.url("mongodb")) as log:
        term = await append(log, elected("l1"))
        gate = Gate(monkeypatch)
        late = asyncio.create_task(log.append([(evaluated("j1", term),)]))
        await wait_until(lambda: gate.held == 1)
        monkeypatch.undo()
        await append(log, elected("l2"))
        assert await ids(log) == ["l1", "l2"]
        gate.open.set()
        await late
        assert await ids(log) == ["l1", "l2"]


async def test_positions_lost_in_a_failover_are_passed(servers: SharedServers) -> None:
    async with await open_log(servers.url("mongodb")) as log:
        term = await append(log, elected("l1"))
        await append(log, event("a"))
        upto = await append(log, event("b"))
        meta = log._server.collection(log._store.meta)  # type: ignore[attr-defined]
        await meta.update_one({"_id": "log"}, {"$inc": {"number": -2}})
        await append(log, evaluated("j1", term, upto=upto))
        await meta.update_one({"_id": "log"}, {"$inc": {"number": -2}})
        await append(log, event("c"))
        assert await ids(log) == ["l1", "a", "b", "j1", "c"]


async def test_error_names_an_unreachable_server(server: MongoServer) -> None:
    async with await open_log(server.url, timeout=1.0) as log:
        await asyncio.to_thread(server.kill)
        with pytest.raises(BackendUnavailable, match=rf"127\.0\.0\.1:{server.port}.* cannot be used, tried for 1 s"):
            await log.append([(event("a"),)])


async def test_entries_too_large_for_a_document_are_refused(servers: SharedServers) -> None:
    async with await open_log(servers.url("mongodb")) as log:
        call = msgspec.structs.replace(registration("i1"), arguments=raw({"x": "x" * 8_000_000}))
        with pytest.raises(SerializationError, match=r"i1 takes 8,000,\d+ bytes, and MongoDB can store 7,500,000"):
            await log.append([(event("a"),), (call,)])
        with pytest.raises(SerializationError, match=r"one part takes 16,\d+,\d+ bytes"):
            await log.append([(event("b", "x" * 8_000_000), event("c", "x" * 8_000_000))])
        await append(log, event("d", "x" * 14_000_000))
        assert await ids(log) == ["d"]


async def test_calls_wait_for_a_new_primary(server: MongoServer) -> None:
    async with await open_log(server.url) as log:
        await append(log, event("a"))
        waiting = asyncio.create_task(log.follow(await log.tail(), wait=60))
        stepping = asyncio.create_task(asyncio.to_thread(server.step_down))
        numbers = 0
        while not stepping.done():
            await append(log, event(f"b{numbers}"))
            numbers += 1
        await stepping
        assert (await waiting).entries
        assert await ids(log) == ["a", *(f"b{n}" for n in range(numbers))]


async def test_a_server_hanging_for_ten_seconds_loses_nothing(server: MongoServer) -> None:
    async with await open_log(server.url) as log:
        await append(log, event("a"))
        server.pause()
        hanging = [asyncio.create_task(append(log, event(f"b{n}"))) for n in range(3)]
        await asyncio.sleep(10)
        assert not any(each.done() for each in hanging)
        server.resume()
        await asyncio.gather(*hanging)
        assert sorted(await ids(log)) == ["a", "b0", "b1", "b2"]


@pytest.mark.parametrize("swallowed_as", [None, AutoReconnect("cancelled")])
async def test_closing_does_not_hang_if_the_driver_swallows_a_cancellation(
    servers: SharedServers, monkeypatch: pytest.MonkeyPatch, swallowed_as: Exception | None
) -> None:
    waiting = asyncio.Event()
    once = AsyncChangeStream.try_next

    async def swallowing(stream: AsyncChangeStream[Any]) -> Any:
        waiting.set()
        try:
            return await once(stream)
        except asyncio.CancelledError:
            # As `asyncio.wait_for` does before Python 3.12 when its awaitable completes at the same moment.
            if swallowed_as is not None:
                raise swallowed_as from None
            return None

    monkeypatch.setattr(AsyncChangeStream, "try_next", swallowing)
    async with await open_log(servers.url("mongodb"), driver="pymongo") as log:
        following = asyncio.create_task(log.follow(await log.tail(), wait=60))
        await waiting.wait()
        await append(log, event("a"))
        await following
    assert all("wake-up" not in task.get_name() for task in asyncio.all_tasks())
