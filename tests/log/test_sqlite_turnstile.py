"""Where writers queue: whoever is in never waits for those behind him."""

import sqlite3
import threading
from pathlib import Path

import pytest

from tests.support.waiting import wait_until_true
from trigger_engine.log.sqlite import schema
from trigger_engine.log.sqlite.backend import SQLiteSettings
from trigger_engine.log.sqlite.database import Database
from trigger_engine.log.sqlite.turnstile import FileLock, Turnstile, run_folder


@pytest.mark.timeout(30)
def test_a_write_that_finds_a_new_file_makes_its_tables_though_others_queue_behind_it(tmp_path: Path) -> None:
    path = str(tmp_path / "log.db")
    queueing = threading.Thread(target=_pass_through, args=(path,))

    def prepare_while_another_queues(connection: sqlite3.Connection, turnstile: Turnstile, path: str) -> None:
        queueing.start()
        wait_until_true(lambda: _somebody_is_next(path))
        schema.prepare(connection, turnstile, path)

    database = Database(path, SQLiteSettings(path), prepare_while_another_queues)
    try:
        assert database.write(_version) == schema.VERSION
    finally:
        database.close()
        queueing.join()


def _pass_through(path: str) -> None:
    turnstile = Turnstile(run_folder(path))
    with turnstile:
        pass
    turnstile.close()


def _somebody_is_next(path: str) -> bool:
    probe = FileLock(run_folder(path), "next.lock")
    try:
        return not probe.try_lock()
    finally:
        probe.close()


def _version(connection: sqlite3.Connection) -> int:
    return int(connection.execute("SELECT version FROM trigger_engine_schema").fetchone()[0])
