"""What doctor says of a server."""

import time
from pathlib import Path

import pytest
from trigger_engine_mongodb.backend import MongoSettings, MongoTrigger

from tests.support.servers.mongodb_servers import MongoServer
from trigger_engine.errors import BackendUnavailable
from trigger_engine.log.contract import Check
from trigger_engine.testing.conformance.harness import append, ids
from trigger_engine.testing.conformance.sample_entries import event

pytestmark = pytest.mark.servers


def backend(server: MongoServer) -> MongoTrigger:
    return MongoTrigger(MongoSettings(server.url), app_id="shop")


def texts(checks: list[Check], level: str) -> list[str]:
    return [check.text for check in checks if check.level == level]


async def test_a_replica_set_of_one_keeps_its_promises_and_has_one_copy(tmp_path: Path) -> None:
    with MongoServer(tmp_path / "server") as server:
        async with await backend(server).open(clock=time.time) as log:
            await append(log, event("a"))
        checks = await backend(server).check()
    assert texts(checks, "failed") == []
    assert texts(checks, "warning") == ["the replica set rs0 has one member that keeps data: its disk is the only copy"]
    version, majority, appends = texts(checks, "ok")
    assert version.startswith("MongoDB ")
    assert majority.endswith("on the disks of a majority of the members (w majority, j)")
    assert appends == "1 appends were made to the log"


async def test_a_server_by_itself_is_a_warning_and_works(tmp_path: Path) -> None:
    with MongoServer(tmp_path / "server", replica_set=False) as server:
        async with await backend(server).open(clock=time.time) as log:
            tail = await log.tail()
            await append(log, event("a"))
            assert await ids(log) == ["a"]
            assert (await log.follow(tail, wait=10)).entries != []
        checks = await backend(server).check()
    (text,) = texts(checks, "warning")
    assert "is no member of a replica set: waiting runners look 20 times a second" in text


async def test_a_server_that_is_away_is_named(tmp_path: Path) -> None:
    server = MongoServer(tmp_path / "server")
    settings = MongoSettings(server.url, timeout=0.3)
    with pytest.raises(BackendUnavailable, match=rf"127\.0\.0\.1:{server.port}.* cannot be used, tried for 0\.3 s"):
        await MongoTrigger(settings, app_id="shop").check()
