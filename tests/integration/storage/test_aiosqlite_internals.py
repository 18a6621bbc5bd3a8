"""The private parts of aiosqlite that the SQLite log uses; pyproject.toml allows only versions that have them.

If a test here fails after an upgrade, adapt `_start_thread`, `_put` and `_end_thread` in
trigger_engine/_storage/sqlite/thread.py, then the limit in pyproject.toml.
"""

import asyncio
import threading
from importlib.metadata import requires

import aiosqlite
import pytest
from packaging.requirements import Requirement

from trigger_engine._storage.sqlite import thread
from trigger_engine.testing.conformance._harness import PATIENCE


def test_a_connection_has_a_thread_that_is_not_started_and_a_queue() -> None:
    connection = aiosqlite.Connection(thread._connects_nothing, 0)
    assert isinstance(connection._thread, threading.Thread), "aiosqlite.Connection has no _thread"
    assert not connection._thread.is_alive(), "aiosqlite.Connection starts its thread early: it cannot become a daemon"
    assert callable(connection._tx.put_nowait), "aiosqlite.Connection has no queue _tx"


@pytest.mark.timeout(30)
def test_the_thread_runs_queued_functions_until_it_is_stopped() -> None:
    own = thread._start_thread()
    ran = threading.Event()
    thread._put(own, ran.set)
    assert ran.wait(PATIENCE), "aiosqlite's thread does not run (None, function) from its queue"
    assert own._thread.daemon
    thread._put(own, own.stop)
    own._thread.join(PATIENCE)
    assert not own._thread.is_alive(), "aiosqlite.Connection.stop() called in its thread does not end it"


@pytest.mark.timeout(30)
async def test_the_thread_survives_a_function_that_raises() -> None:
    own = thread._start_thread()
    ran = threading.Event()
    thread._put(own, thread._connects_nothing)
    thread._put(own, ran.set)
    assert await asyncio.to_thread(ran.wait, PATIENCE), "aiosqlite's thread ends with a function that raises"
    thread._put(own, own.stop)


def test_the_dependency_has_an_upper_limit() -> None:
    [found] = [each for each in map(Requirement, requires("trigger-engine") or ()) if each.name == "aiosqlite"]
    assert not found.specifier.contains("0.23.0")
    assert found.specifier.contains(aiosqlite.__version__)
