"""The servers that all tests of a run share: started for the first test that needs one, ended after the last.

The workers of pytest-xdist share them, too. An environment variable replaces a server with one of yours:
TEST_REDIS_URL, TEST_REDIS_7_URL, TEST_MONGODB_URL, TEST_RABBITMQ_URL. Tests use names of their own and never empty a
server. To add a server, add a module beside this one and a line in SERVERS.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.support.servers.memory import folder_in_memory
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
    """Starts servers on demand. Processes that pass the same folder share them.

    The process that starts a server ends it, once no other process uses it. `in_memory`: the servers keep their data
    in memory where there is room for it, not in the folder.
    """

    def __init__(self, folder: Path, *, in_memory: bool = False) -> None:
        self._folder = folder
        self._in_memory = in_memory
        self._urls: dict[str, str] = {}
        self._used = ExitStack()
        self._owned = ExitStack()

    def url(self, name: str) -> str:
        """The URL of the server of this name, which is started if necessary. Raises ServerMissing."""
        if name not in self._urls:
            self._urls[name] = os.environ.get(f"TEST_{name.upper()}_URL") or self._shared(name)
        return self._urls[name]

    def close(self) -> None:
        """Ends the servers that this process has started, after all others that use them have closed; idempotent."""
        # First its use of others' servers: two processes may wait for each other otherwise.
        self._used.close()
        self._owned.close()
        self._urls.clear()

    def _shared(self, name: str) -> str:
        place = self._folder / name
        place.mkdir(parents=True, exist_ok=True)
        address = place / "url"
        with _held(place / "start"):
            self._used.enter_context(_held(place / "use", shared=True))
            if not address.exists():
                self._owned.enter_context(self._started(name, place))
            return address.read_text()

    @contextmanager
    def _started(self, name: str, place: Path) -> Iterator[None]:
        address = place / "url"
        data = folder_in_memory(place) if self._in_memory else nullcontext(place)
        with data as folder, SERVERS[name](folder / "data") as server:
            address.write_text(server.url)
            yield
            with _held(place / "use"):
                address.unlink()
                server.kill()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        self.close()


@contextmanager
def _held(file: Path, *, shared: bool = False) -> Iterator[None]:
    """Holds a lock of all processes: alone, or with others that share it."""
    import fcntl

    with file.open("a") as opened:
        fcntl.flock(opened, fcntl.LOCK_SH if shared else fcntl.LOCK_EX)
        yield
