"""Shared fixtures: a server to break, and the removal of streams after each test."""

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
    """A server that these tests may break."""
    with RabbitMQServer(tmp_path_factory.mktemp("rabbitmq") / "server") as server:
        asyncio.run(publish(server.url, "first", [b""]))
        # RabbitMQ 3.10 remembers its first stream after a kill only if it was restarted once.
        server.stop()
        server.start()
        yield server


@pytest.fixture
def server(node: RabbitMQServer) -> RabbitMQServer:
    """The same server, restarted if the test before stopped it."""
    if not node.is_ready():
        node.kill()
        node.start()
    return node


@pytest.fixture(scope="module")
def operate() -> Iterator[Callable[[Callable[[], object]], Awaitable[object]]]:
    """Runs an operation on the server in a thread that outlives the tests: on Linux the server dies with its thread."""
    with ThreadPoolExecutor(1) as operator:
        yield lambda operation: asyncio.wrap_future(operator.submit(operation))
