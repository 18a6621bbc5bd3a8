"""The servers that all tests of one pytest process share: started by the first test that needs one, ended at the end.

Each worker of pytest-xdist has its own. A variable of the environment puts a server of yours in the place of one:
TEST_REDIS_URL, TEST_REDIS_7_URL, TEST_MONGODB_URL, TEST_RABBITMQ_URL. Tests keep apart by names of their own,
never by emptying a server. A further server is one more module beside this one and one more line in SERVERS.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.support.servers.mongodb_servers import MongoServer
from tests.support.servers.private_server import PrivateServer
from tests.support.servers.rabbitmq_servers import RabbitMQServer
from tests.support.servers.redis_servers import RedisServer, ValkeyServer

SERVERS: dict[str, Callable[[Path], PrivateServer]] = {
    "redis": ValkeyServer,
    "redis_7": RedisServer,
    "mongodb": MongoServer,
    "rabbitmq": RabbitMQServer,
}
"""By name; the variable of `redis` is TEST_REDIS_URL."""


class SharedServers:
    """Starts servers when they are asked for."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._urls: dict[str, str] = {}
        self._stack = ExitStack()

    def url(self, name: str) -> str:
        """Where the server of this name is, started now if need be. Raises ServerMissing."""
        if name not in self._urls:
            given = os.environ.get(f"TEST_{name.upper()}_URL")
            self._urls[name] = given or self._stack.enter_context(SERVERS[name](self._folder / name)).url
        return self._urls[name]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        self._stack.close()
