"""Checks of the server and of the log's size, for `doctor`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from trigger_engine.backend import Check
from trigger_engine.errors import BackendUnavailable
from trigger_engine_rabbitmq.driver import LOST, REFUSED, close_quietly, connect, refusal_error
from trigger_engine_rabbitmq.log import RabbitMQLog
from trigger_engine_rabbitmq.settings import RabbitMQSettings
from trigger_engine_rabbitmq.snapshot_writer import WHEN_FULL, full_at
from trigger_engine_rabbitmq.urls import shown

OLDEST_VERSION = (3, 10)
_NEARLY_FULL = 0.75


def check_size(log: RabbitMQLog, max_length_bytes: int) -> Check:
    """Checks that the log is not about to refuse new work."""
    snapshots = log.snapshots
    since, limit = snapshots.bytes_since, full_at(max_length_bytes)
    newest = f"after the newest snapshot, of {snapshots.size >> 20:,} MB" if snapshots.newest else "and no snapshot yet"
    text = f"the log's stream holds {since >> 20:,} MB {newest}"
    if since > _NEARLY_FULL * limit:
        return Check(
            "warning",
            f"{text}: at {limit >> 20:,} MB, half of max_length_bytes, events and calls are refused",
            WHEN_FULL,
        )
    return Check("ok", text)


async def check_server(settings: RabbitMQSettings, *, location: str) -> list[Check]:
    """Checks the server. Raises BackendUnavailable, ConfigError."""
    try:
        connection = await connect(settings.url, settings.timeout)
    except REFUSED as exc:
        raise refusal_error(exc, shown=shown(settings.url), location=location) from exc
    except LOST as exc:
        raise BackendUnavailable(
            f"{shown(settings.url)} cannot be used ({str(exc) or type(exc).__name__}): "
            f"check that it runs where url says, {location}"
        ) from exc
    try:
        transport: Any = connection.transport
        return list(_version(transport.connection.server_properties))
    finally:
        await close_quietly(connection)


def _version(properties: Mapping[str, Any]) -> Iterator[Check]:
    product, version = (_text(properties.get(key, "")) for key in ("product", "version"))
    if product != "RabbitMQ":
        yield Check("failed", f"this is {product or 'unknown'}, which has no streams", "use RabbitMQ 3.10 or newer")
        return
    numbers = tuple(int(part) for part in version.split(".")[:2] if part.isdecimal())
    if numbers < OLDEST_VERSION:
        yield Check("failed", f"RabbitMQ {version} is too old", "use RabbitMQ 3.10 or newer")
    else:
        yield Check("ok", f"RabbitMQ {version}")
    yield Check(
        "warning",
        "the operating system decides when streams reach the disk: acknowledged writes survive a crash of the server "
        "process, but survive a power failure only if other nodes of a cluster have them",
        "use a cluster of three nodes if a power failure must lose nothing",
    )


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
