"""The backends that the driver can run on. Another one is one more line in `STORES`."""

from __future__ import annotations

import os
import signal
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.robustness.chaos.driver import mongodb_store, rabbitmq_store, redis_store
from trigger_engine._storage.sqlite import appending


def die_on(mark: Path) -> None:
    """Kills this process if it is the first to find the file `mark`."""
    try:
        mark.unlink()
    except FileNotFoundError:
        return
    os.kill(os.getpid(), signal.SIGKILL)


@dataclass(frozen=True)
class ChaosStore:
    """A backend under chaos.

    `settings`: keywords of an app whose data lies in a folder. `servers`: what must be up meanwhile, entered by the
    driver. `die_in_append`: makes this process die of a mark in the middle of an append, before anything is committed.
    `faults`: by kind, what the driver may do to the servers of a folder; each is undone when it returns.
    """

    settings: Callable[[Path], dict[str, Any]]
    die_in_append: Callable[[Path], None]
    servers: Callable[[Path], AbstractContextManager[object]] = nullcontext
    faults: Mapping[str, Callable[[Path], Awaitable[None]]] = field(default_factory=dict)


def _sqlite_settings(folder: Path) -> dict[str, Any]:
    return {"trigger_cls": "SQLiteTrigger", "sqlite": {"sqlite_db_path": str(folder / "chaos.db")}}


def _die_in_sqlite_append(mark: Path) -> None:
    """After the entries are inserted, in the open transaction."""
    store_entries = appending._store_entries

    def store_and_die(*args: Any) -> None:
        store_entries(*args)
        die_on(mark)

    appending._store_entries = store_and_die  # type: ignore[assignment]


STORES = {
    "sqlite": ChaosStore(_sqlite_settings, _die_in_sqlite_append),
    "redis": ChaosStore(
        redis_store.settings, redis_store.die_in_append, redis_store.SERVER.running, redis_store.SERVER.faults
    ),
    "mongodb": ChaosStore(
        mongodb_store.settings, mongodb_store.die_in_append, mongodb_store.SERVER.running, mongodb_store.FAULTS
    ),
    "rabbitmq": ChaosStore(
        rabbitmq_store.settings,
        rabbitmq_store.die_in_append,
        rabbitmq_store.SERVER.running,
        rabbitmq_store.SERVER.faults,
    ),
}
