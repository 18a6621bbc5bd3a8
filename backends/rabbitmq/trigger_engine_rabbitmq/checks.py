"""What the server puts at risk, for `doctor`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from trigger_engine.errors import BackendUnavailable
from trigger_engine.log.contract import Check
from trigger_engine_rabbitmq.driver import LOST, REFUSED, close_quietly, connected, refusal
from trigger_engine_rabbitmq.snapshot_writer import WHEN_FULL, full_at
from trigger_engine_rabbitmq.urls import shown

if TYPE_CHECKING:
    from trigger_engine_rabbitmq.backend import RabbitMQSettings
    from trigger_engine_rabbitmq.log import RabbitMQLog

OLDEST = (3, 10)
_NEARLY_FULL = 0.75


def check_size(log: RabbitMQLog, max_length_bytes: int) -> Check:
    """Whether the log will go on taking work."""
    snapshots = log.snapshots
    since, most = snapshots.bytes_since, full_at(max_length_bytes)
    newest = (
        f"behind the newest snapshot, of {snapshots.size >> 20:,} MB" if snapshots.newest else "and no snapshot yet"
    )
    told = f"{since >> 20:,} MB stand in the log's stream {newest}"
    if since > _NEARLY_FULL * most:
        return Check(
            "warning",
            f"{told}: at {most >> 20:,} MB, half of max_length_bytes, events and calls are refused",
            WHEN_FULL,
        )
    return Check("ok", told)


async def check_server(settings: RabbitMQSettings, *, location: str) -> list[Check]:
    """Asks the server. Raises BackendUnavailable, ConfigError."""
    try:
        connection = await connected(settings.url, settings.timeout)
    except REFUSED as exc:
        raise refusal(exc, shown=shown(settings.url), location=location) from exc
    except LOST as exc:
        raise BackendUnavailable(
            f"{shown(settings.url)} cannot be used ({str(exc) or type(exc).__name__}): "
            f"see that it runs where url says, {location}"
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
    if numbers < OLDEST:
        yield Check("failed", f"RabbitMQ {version} is too old", "use RabbitMQ 3.10 or newer")
    else:
        yield Check("ok", f"RabbitMQ {version}")
    yield Check(
        "warning",
        "streams reach the disk in the system's own time: what was acknowledged outlives the end of the server's "
        "process, and a loss of power only where other nodes of a cluster have it",
        "let three nodes form a cluster if a loss of power must lose nothing",
    )


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
