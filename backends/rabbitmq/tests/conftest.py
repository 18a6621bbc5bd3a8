"""What these tests share: a server that they may do anything to, and that what they write is gone after each."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.support.servers.rabbitmq_servers import RabbitMQServer
from tests.support.servers.rabbitmq_streams import publish, removed_afterwards
from tests.support.servers.shared import SharedServers


@pytest.fixture(autouse=True)
def streams_are_removed(request: pytest.FixtureRequest) -> Iterator[None]:
    if request.node.get_closest_marker("servers") is None:
        yield
        return
    servers: SharedServers = request.getfixturevalue("servers")
    with removed_afterwards(servers.url("rabbitmq")):
        yield


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RabbitMQServer]:
    """A server that these tests may do anything to."""
    with RabbitMQServer(tmp_path_factory.mktemp("rabbitmq") / "server") as server:
        asyncio.run(publish(server.url, "first", [b""]))
        # Only then does RabbitMQ 3.10 know of its first stream after a kill.
        server.stop()
        server.start()
        yield server


@pytest.fixture
def server(node: RabbitMQServer) -> RabbitMQServer:
    """The same, started again if the test before has ended it."""
    if not node.is_ready():
        node.kill()
        node.start()
    return node


@pytest.fixture(scope="module")
def operate() -> Iterator[Callable[[Callable[[], object]], Awaitable[object]]]:
    """Does something to a server in a thread that outlives the tests, for on Linux it ends with what started it."""
    with ThreadPoolExecutor(1) as operator:
        yield lambda deed: asyncio.wrap_future(operator.submit(deed))
