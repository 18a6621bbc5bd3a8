"""Apps for tests: quick settings, on any backend.

Children and programs under test import it, each anew; so it imports nothing for their sake alone.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from trigger_engine import TriggerEngine
from trigger_engine._client.connections import Connections
from trigger_engine._client.task import Task

if TYPE_CHECKING:
    from tests.support.backends import TestedBackend

QUICK: dict[str, Any] = {
    "heartbeat_interval": 0.1,
    "heartbeat_ttl": 2.0,
    "lease_ttl": 1.0,
    "checkpoint_interval": 0.2,
    "retry_backoff": 0.01,
    "retry_backoff_max": 0.02,
    "shutdown_timeout": 5.0,
}
MEMORY: dict[str, Any] = {**QUICK, "app_id": "test", "trigger_cls": "MemTrigger"}
MakeApp = Callable[..., TriggerEngine]


def on_memory(**settings: Any) -> TriggerEngine:
    """An app with its own memory."""
    return TriggerEngine(**{**MEMORY, **settings})


def on_sqlite(path: Path, **settings: Any) -> TriggerEngine:
    """An app on a SQLite file."""
    place = {"trigger_cls": "SQLiteTrigger", "sqlite": {"sqlite_db_path": str(path), "synchronous": "NORMAL"}}
    return TriggerEngine(**{**QUICK, "app_id": "test", **place, **settings})


@pytest.fixture
def make_app(backend: TestedBackend) -> MakeApp:
    """Makes apps on every backend in turn. Those of one test share their data, except on memory."""
    return lambda **settings: TriggerEngine(**{**QUICK, "app_id": "test", **backend.settings, **settings})


def sibling(app: TriggerEngine, **settings: Any) -> TriggerEngine:
    """Another app, such as other code of the same project, on the same data."""
    other = on_memory(app_id=app.app_id, **settings)
    other._internals.connections = Connections(app._internals.connections.backend, time.time)
    return other


def gated_task(app: TriggerEngine) -> tuple[Task[[], str], asyncio.Event]:
    """Declares a task that returns "done" once the gate, given with it, is open."""
    gate = asyncio.Event()

    @app.task
    async def work() -> str:
        await gate.wait()
        return "done"

    return work, gate
