"""The complete version of test_rabbitmq_connections.py. Takes minutes, so only `nox -s faults` runs it."""

from itertools import count

import pytest

from tests.support.servers.rabbitmq_cuts import AT_ONCE, some_are_cut, some_are_given_up
from tests.support.servers.shared import SharedServers

pytestmark = [pytest.mark.servers, pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.mark.parametrize("connections", [1, 2])
async def test_connections_may_be_cut_before_any_frame(connections: int, servers: SharedServers) -> None:
    url = servers.url("rabbitmq")
    for first in count(0, AT_ONCE):
        if not await some_are_cut(url, range(first, first + AT_ONCE), connections=connections):
            break
    assert first > 40, first


async def test_opening_a_log_may_be_cancelled_at_any_frame(servers: SharedServers) -> None:
    url = servers.url("rabbitmq")
    for frame in count():
        if not await some_are_given_up(url, frame):
            break
    assert frame > 20, frame
