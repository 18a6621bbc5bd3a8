"""Finds the server that has an app's keys: a single server, a cluster node, or the primary that Sentinels name."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from redis.asyncio import RedisCluster
from redis.asyncio.cluster import ClusterNode
from redis.asyncio.connection import AbstractConnection, ConnectionPool, SSLConnection
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import (
    Sentinel,
    SentinelConnectionPool,
    SentinelManagedConnection,
    SentinelManagedSSLConnection,
)
from redis.backoff import NoBackoff
from redis.exceptions import RedisClusterException, ResponseError

from trigger_engine_redis.urls import Address

_NODE_OPTIONS = ("host", "port", "db", "connection_class")


class Locator:
    """Connects to the server that has the keys. Call `renew` after a failure: it may be another server now."""

    def __init__(self, address: Address, key: str, *, seconds: float) -> None:
        self._address = address
        self._key = key
        self._nodes: list[ClusterNode] = []
        self._sentinel: Sentinel | None = None
        # redis-py's retries are off: the caller retries, with one deadline for all attempts. Its command timeouts
        # are off too: the `wait_for` in them loses cancellations on Python 3.11.
        self._options: dict[str, Any] = {
            "socket_timeout": None,
            "socket_connect_timeout": seconds,
            **({} if "path" in address.options else {"socket_keepalive": True}),
            **address.options,
            "protocol": 2,
            "retry": Retry(NoBackoff(), 0),
        }
        self._pool = self._sentinel_pool() if address.sentinels else ConnectionPool(**self._options)
        self._is_found = False

    @property
    def shown(self) -> str:
        """Host and port of the server in use, as far as they are known, for people."""
        options = self._pool.connection_kwargs
        master = getattr(self._pool, "master_address", None)
        host, port = master or (options.get("host", "localhost"), options.get("port", 6379))
        if self._address.sentinels and master is None:
            return f"the primary {self._address.service!r} of the Sentinels"
        return str(options["path"]) if "path" in options else f"{host}:{port}"

    async def connect(self) -> AbstractConnection:
        """A new connection, owned by the caller. Raises what redis-py raises."""
        if not self._is_found:
            await self._find_server()
        connection: AbstractConnection = self._pool.make_connection()  # type: ignore[no-untyped-call]
        await connection.connect()  # type: ignore[no-untyped-call]
        return connection

    def renew(self) -> None:
        """Makes the next connection look up the server again."""
        self._is_found = False

    async def aclose(self) -> None:
        """Closes the connections used for looking up the server."""
        if self._sentinel is not None:
            await self._sentinel.aclose()

    async def _find_server(self) -> None:
        if not self._address.sentinels and (self._nodes or await self._is_cluster()):
            await self._find_node()
        self._is_found = True

    async def _is_cluster(self) -> bool:
        connection: AbstractConnection = self._pool.make_connection()  # type: ignore[no-untyped-call]
        await connection.connect()  # type: ignore[no-untyped-call]
        try:
            await connection.send_command("INFO", "cluster")
            return b"cluster_enabled:1" in await connection.read_response()
        except ResponseError:
            return False
        finally:
            await asyncio.shield(connection.disconnect())

    async def _find_node(self) -> None:
        options = {key: value for key, value in self._options.items() if key not in _NODE_OPTIONS}
        first = ClusterNode(self._options.get("host", "localhost"), self._options.get("port", 6379))
        cluster = RedisCluster(
            startup_nodes=[first, *self._nodes],
            ssl=self._options.get("connection_class") is SSLConnection,
            **_cluster_options(options),
        )
        try:
            await cluster.initialize()  # type: ignore[unused-awaitable]
            self._nodes = [ClusterNode(node.host, node.port) for node in cluster.get_nodes()]
            node = cluster.get_node_from_key(self._key)
        except RedisClusterException as exc:
            raise ConnectionError(f"the cluster cannot be used: {exc}") from exc
        finally:
            await cluster.aclose()
        if node is None:
            raise ConnectionError(f"no node of the cluster has the keys of {self._key}")
        self._pool = ConnectionPool(**{**self._options, "host": node.host, "port": node.port})

    def _sentinel_pool(self) -> SentinelConnectionPool:
        options = dict(self._options)
        is_secure = options.pop("connection_class", None) is SSLConnection
        sentinel_options = {key: value for key, value in options.items() if key.startswith("socket_")}
        self._sentinel = Sentinel(  # type: ignore[no-untyped-call]
            self._address.sentinels, sentinel_kwargs={**sentinel_options, "protocol": 2}, **options
        )
        return SentinelConnectionPool(  # type: ignore[no-untyped-call]
            self._address.service,
            self._sentinel,
            connection_class=SentinelManagedSSLConnection if is_secure else SentinelManagedConnection,
            **options,
        )


def _cluster_options(options: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in options.items() if key not in {"retry", "path"}}
