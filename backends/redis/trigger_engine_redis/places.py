"""Where an app's data is: which server to connect to, of one, of a cluster, or of those that Sentinels watch."""

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

_OF_A_NODE = ("host", "port", "db", "connection_class")


class Place:
    """Makes connections to the server that has the keys. `renew` after a failure, for it may be another one now."""

    def __init__(self, address: Address, key: str, *, seconds: float) -> None:
        self._address = address
        self._key = key
        self._nodes: list[ClusterNode] = []
        self._sentinel: Sentinel | None = None
        # The retries of redis-py are switched off: the caller has its own, with one deadline for all of them.
        # So are its time limits of a command: the `wait_for` in them loses cancellations on Python 3.11.
        self._options: dict[str, Any] = {
            "socket_timeout": None,
            "socket_connect_timeout": seconds,
            **({} if "path" in address.options else {"socket_keepalive": True}),
            **address.options,
            "protocol": 2,
            "retry": Retry(NoBackoff(), 0),
        }
        self._pool = self._sentinel_pool() if address.sentinels else ConnectionPool(**self._options)
        self._is_known = False

    @property
    def shown(self) -> str:
        """Host and port of the server in use, as far as they are known."""
        options = self._pool.connection_kwargs
        master = getattr(self._pool, "master_address", None)
        host, port = master or (options.get("host", "localhost"), options.get("port", 6379))
        if self._address.sentinels and master is None:
            return f"the master {self._address.service!r} of the Sentinels"
        return str(options["path"]) if "path" in options else f"{host}:{port}"

    async def connect(self) -> AbstractConnection:
        """A new connection, which belongs to the caller. Raises what redis-py raises."""
        if not self._is_known:
            await self._look()
        connection: AbstractConnection = self._pool.make_connection()  # type: ignore[no-untyped-call]
        await connection.connect()  # type: ignore[no-untyped-call]
        return connection

    def renew(self) -> None:
        """Looks again, at the next connection, which server it is."""
        self._is_known = False

    async def aclose(self) -> None:
        """Closes what it uses to look."""
        if self._sentinel is not None:
            await self._sentinel.aclose()

    async def _look(self) -> None:
        if not self._address.sentinels and (self._nodes or await self._is_cluster()):
            await self._find_node()
        self._is_known = True

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
        options = {key: value for key, value in self._options.items() if key not in _OF_A_NODE}
        first = ClusterNode(self._options.get("host", "localhost"), self._options.get("port", 6379))
        cluster = RedisCluster(
            startup_nodes=[first, *self._nodes],
            ssl=self._options.get("connection_class") is SSLConnection,
            **_accepted_by_clusters(options),
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
        of_sentinels = {key: value for key, value in options.items() if key.startswith("socket_")}
        self._sentinel = Sentinel(  # type: ignore[no-untyped-call]
            self._address.sentinels, sentinel_kwargs={**of_sentinels, "protocol": 2}, **options
        )
        return SentinelConnectionPool(  # type: ignore[no-untyped-call]
            self._address.service,
            self._sentinel,
            connection_class=SentinelManagedSSLConnection if is_secure else SentinelManagedConnection,
            **options,
        )


def _accepted_by_clusters(options: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in options.items() if key not in {"retry", "path"}}
