"""Checks of the server and its settings, for `doctor`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from trigger_engine.backend import Check
from trigger_engine_mongodb.client import Document, Server
from trigger_engine_mongodb.settings import MongoSettings

OLDEST_VERSION = (5, 0)
_MAX_LAG_SECONDS = 10.0
"""How many seconds the majority may be behind the newest write before the check fails."""


async def check_server(settings: MongoSettings, *, app_id: str, location: str) -> list[Check]:
    """Checks the server. Raises BackendUnavailable, ConfigError."""
    server = Server(settings, location=location)
    try:
        version = await _command(server, {"buildInfo": 1})
        hello = await _command(server, {"hello": 1})
        heads = await server.find(f"{app_id}.meta", {"_id": "log"})
    finally:
        await server.aclose()
    return [*_version(version), *_topology(hello), *_majority(hello), *_log(heads)]


async def _command(server: Server, command: Document) -> Mapping[str, Any]:
    async def attempt() -> Any:
        return await server.client["admin"].command(command)

    found: Mapping[str, Any] = await server.ask(attempt)
    return found


def _version(found: Mapping[str, Any]) -> Iterator[Check]:
    version = str(found["version"])
    if tuple(int(part) for part in version.split(".")[:2]) < OLDEST_VERSION:
        yield Check("failed", f"MongoDB {version} is too old", "use MongoDB 5.0 or newer")
    else:
        yield Check("ok", f"MongoDB {version}")


def _topology(hello: Mapping[str, Any]) -> Iterator[Check]:
    if hello.get("msg") == "isdbgrid":
        yield Check("ok", "the server is the router of a sharded cluster")
    elif "setName" not in hello:
        yield Check(
            "warning",
            "the server is not in a replica set: waiting runners poll it 20 times a second, and its disk is the only "
            "copy",
            "make it a replica set, even of one member (replSetInitiate)",
        )
    elif len(hello.get("hosts", ())) == 1:
        yield Check(
            "warning",
            f"the replica set {hello['setName']} has one data-bearing member: its disk is the only copy",
            "add members if the data must survive a disk failure",
        )
    else:
        yield Check("ok", f"the replica set {hello['setName']} has {len(hello['hosts'])} data-bearing members")


def _majority(hello: Mapping[str, Any]) -> Iterator[Check]:
    written = hello.get("lastWrite", {})
    if "lastWriteDate" not in written or "majorityWriteDate" not in written:
        return
    behind = (written["lastWriteDate"] - written["majorityWriteDate"]).total_seconds()
    if behind > _MAX_LAG_SECONDS:
        yield Check(
            "failed",
            f"a majority of the members is {behind:.0f} s behind the newest writes: appends wait for it, and fail",
            "start the missing members, or find out why they lag",
        )
    else:
        yield Check("ok", "acknowledged writes are on the disks of a majority of the members (w majority, j)")


def _log(heads: list[Document]) -> Iterator[Check]:
    if heads:
        yield Check("ok", f"{int(heads[0]['number']):,} appends were made to the log")
