"""What the server's own settings put at risk, for `doctor`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from trigger_engine.log.contract import Check
from trigger_engine_mongodb.client import Document, Server

if TYPE_CHECKING:
    from trigger_engine_mongodb.backend import MongoSettings

OLDEST = (5, 0)
_BEHIND = 10.0
"""Seconds that the newest write may be away from a majority before it is worth a warning."""


async def check_server(settings: MongoSettings, *, app_id: str, location: str) -> list[Check]:
    """Asks the server. Raises BackendUnavailable, ConfigError."""
    server = Server(settings, location=location)
    try:
        version = await _command(server, {"buildInfo": 1})
        hello = await _command(server, {"hello": 1})
        heads = await server.find(f"{app_id}.meta", {"_id": "log"})
    finally:
        await server.aclose()
    return [*_version(version), *_kind(hello), *_majority(hello), *_log(heads)]


async def _command(server: Server, command: Document) -> Mapping[str, Any]:
    async def attempt() -> Any:
        return await server.client["admin"].command(command)

    found: Mapping[str, Any] = await server.ask(attempt)
    return found


def _version(found: Mapping[str, Any]) -> Iterator[Check]:
    version = str(found["version"])
    if tuple(int(part) for part in version.split(".")[:2]) < OLDEST:
        yield Check("failed", f"MongoDB {version} is too old", "use MongoDB 5.0 or newer")
    else:
        yield Check("ok", f"MongoDB {version}")


def _kind(hello: Mapping[str, Any]) -> Iterator[Check]:
    if hello.get("msg") == "isdbgrid":
        yield Check("ok", "the server is the router of a sharded cluster")
    elif "setName" not in hello:
        yield Check(
            "warning",
            "the server is no member of a replica set: waiting runners look 20 times a second, and its disk is the "
            "only copy",
            "make it a replica set, of one member too (replSetInitiate)",
        )
    elif len(hello.get("hosts", ())) == 1:
        yield Check(
            "warning",
            f"the replica set {hello['setName']} has one member that keeps data: its disk is the only copy",
            "add members if the data must outlive a disk",
        )
    else:
        yield Check("ok", f"the replica set {hello['setName']} has {len(hello['hosts'])} members that keep data")


def _majority(hello: Mapping[str, Any]) -> Iterator[Check]:
    written = hello.get("lastWrite", {})
    if "lastWriteDate" not in written or "majorityWriteDate" not in written:
        return
    behind = (written["lastWriteDate"] - written["majorityWriteDate"]).total_seconds()
    if behind > _BEHIND:
        yield Check(
            "failed",
            f"no majority of the members has had the newest writes for {behind:.0f} s: appends wait for it, and fail",
            "start the members that are away, or see why they lag",
        )
    else:
        yield Check("ok", "what is acknowledged is on the disks of a majority of the members (w majority, j)")


def _log(heads: list[Document]) -> Iterator[Check]:
    if heads:
        yield Check("ok", f"{int(heads[0]['number']):,} appends were made to the log")
