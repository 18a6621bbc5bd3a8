"""Doctor checks the server."""

import time
from pathlib import Path

import pytest
from trigger_engine_mongodb.backend import MongoTrigger
from trigger_engine_mongodb.settings import MongoSettings

from tests.support.servers.mongodb_servers import MongoServer
from trigger_engine.backend import Check
from trigger_engine.errors import BackendUnavailable
from trigger_engine.testing.conformance._harness import append, ids
from trigger_engine.testing.conformance._sample_entries import event

pytestmark = pytest.mark.servers


def backend(server: MongoServer) -> MongoTrigger:
    return MongoTrigger(MongoSettings(server.url), app_id="shop")


def texts(checks: list[Check], level: str) -> list[str]:
    return [check.text for check in checks if check.level == level]


async def test_a_replica_set_of_one_is_a_warning(tmp_path: Path) -> None:
    with MongoServer(tmp_path / "server") as server:
        async with await backend(server).open(clock=time.time) as log:
            await append(log, event("a"))
        checks = await backend(server).check()
    assert texts(checks, "failed") == []
    assert texts(checks, "warning") == ["the replica set rs0 has one data-bearing member: its disk is the only copy"]
    version, majority, appends = texts(checks, "ok")
    assert version.startswith("MongoDB ")
    assert majority.endswith("on the disks of a majority of the members (w majority, j)")
    assert appends == "1 appends were made to the log"


async def test_a_standalone_server_works_and_is_a_warning(tmp_path: Path) -> None:
    with MongoServer(tmp_path / "server", replica_set=False) as server:
        async with await backend(server).open(clock=time.time) as log:
            tail = await log.tail()
            await append(log, event("a"))
            assert await ids(log) == ["a"]
            assert (await log.follow(tail, wait=10)).entries != []
        checks = await backend(server).check()
    (text,) = texts(checks, "warning")
    assert "is not in a replica set: waiting runners poll it 20 times a second" in text


async def test_error_names_an_unreachable_server(tmp_path: Path) -> None:
    server = MongoServer(tmp_path / "server")
    settings = MongoSettings(server.url, timeout=0.3)
    with pytest.raises(BackendUnavailable, match=rf"127\.0\.0\.1:{server.port}.* cannot be used, tried for 0\.3 s"):
        await MongoTrigger(settings, app_id="shop").check()
