"""The backends that tests run on, each as the settings of an app."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.support.servers.rabbitmq_streams import removed_afterwards
from tests.support.servers.shared import SharedServers
from trigger_engine.backend._ids import fresh_id

Settings = dict[str, Any]


class TestedBackend(msgspec.Struct, frozen=True):
    """A backend with an empty store for one test. `settings`: keywords of an app on it; such apps share their data."""

    __test__ = False

    name: str
    settings: Mapping[str, Any]

    @property
    def is_shared(self) -> bool:
        """True when several processes may have the data."""
        return self.name != "memory"


def _memory(_: Path, __: SharedServers) -> Settings:
    return {"trigger_cls": "MemTrigger"}


def _sqlite(folder: Path, _: SharedServers) -> Settings:
    place = {"sqlite_db_path": str(folder / "test.db"), "synchronous": "NORMAL"}
    return {"trigger_cls": "SQLiteTrigger", "sqlite": place}


def _redis(_: Path, servers: SharedServers) -> Settings:
    return {"trigger_cls": "RedisTrigger", "redis": {"url": servers.url("redis"), "key_prefix": f"test-{fresh_id()}"}}


def _mongodb(_: Path, servers: SharedServers) -> Settings:
    return {"trigger_cls": "MongoTrigger", "mongodb": {"url": servers.url("mongodb"), "database": f"test-{fresh_id()}"}}


def _rabbitmq(_: Path, servers: SharedServers) -> Settings:
    place = {"url": servers.url("rabbitmq"), "stream_prefix": f"test-{fresh_id()}"}
    return {"trigger_cls": "RabbitMQTrigger", "rabbitmq": place}


STORES: dict[str, Callable[[Path, SharedServers], Settings]] = {
    "memory": _memory,
    "sqlite": _sqlite,
    "redis": _redis,
    "mongodb": _mongodb,
    "rabbitmq": _rabbitmq,
}
"""By name, how a test gets an empty store. A further backend is one more line here."""

SERVER_BACKENDS = frozenset({"redis", "mongodb", "rabbitmq"})
"""Those that need a server; their tests have the marker `servers`."""

ALL = [pytest.param(name, marks=[pytest.mark.servers] * (name in SERVER_BACKENDS), id=name) for name in STORES]
"""For tests that run on every backend: `@pytest.mark.parametrize("backend", ALL, indirect=True)`, or as it is."""

SHARED = [param for param in ALL if param.id != "memory"]
"""For those that need several processes."""


@pytest.fixture(params=ALL)
def backend(request: pytest.FixtureRequest, tmp_path: Path, servers: SharedServers) -> Iterator[TestedBackend]:
    """Every backend in turn."""
    name = str(request.param)
    with removed_afterwards(servers.url(name)) if name == "rabbitmq" else nullcontext():
        yield TestedBackend(name, STORES[name](tmp_path, servers))
