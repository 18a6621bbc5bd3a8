"""The queue of writers: the holder of the lock never waits for those behind it."""

import sqlite3
import threading
from pathlib import Path

import pytest

from tests.support.waiting import wait_until_true
from trigger_engine._storage.sqlite import schema
from trigger_engine._storage.sqlite.database import Database
from trigger_engine._storage.sqlite.fair_lock import FairLock, FileLock, run_folder
from trigger_engine._storage.sqlite.settings import SQLiteSettings


@pytest.mark.timeout(30)
def test_write_creates_the_tables_of_a_new_file_while_others_queue(tmp_path: Path) -> None:
    path = str(tmp_path / "log.db")
    queueing = threading.Thread(target=_pass_through, args=(path,))

    def prepare_while_another_queues(connection: sqlite3.Connection, fair_lock: FairLock, path: str) -> None:
        queueing.start()
        wait_until_true(lambda: _somebody_is_next(path))
        schema.prepare(connection, fair_lock, path)

    database = Database(path, SQLiteSettings(path), prepare_while_another_queues)
    try:
        assert database.write(_version) == schema.VERSION
    finally:
        database.close()
        queueing.join()


def _pass_through(path: str) -> None:
    fair_lock = FairLock(run_folder(path))
    with fair_lock:
        pass
    fair_lock.close()


def _somebody_is_next(path: str) -> bool:
    probe = FileLock(run_folder(path), "next.lock")
    try:
        return not probe.try_lock()
    finally:
        probe.close()


def _version(connection: sqlite3.Connection) -> int:
    return int(connection.execute("SELECT version FROM trigger_engine_schema").fetchone()[0])
