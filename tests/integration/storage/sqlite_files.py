"""Helpers for the tests of the SQLite log."""

import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any, Literal

from trigger_engine._storage.sqlite.backend import SQLiteTrigger
from trigger_engine._storage.sqlite.log import SQLiteLog
from trigger_engine._storage.sqlite.settings import SQLiteSettings


async def open_log(
    path: Path,
    *,
    app_id: str = "shop",
    busy_timeout: float = 30.0,
    synchronous: Literal["FULL", "NORMAL", "EXTRA"] = "FULL",
    clock: Callable[[], float] = time.time,
) -> SQLiteLog:
    settings = SQLiteSettings(str(path), synchronous, busy_timeout)
    return await SQLiteTrigger(settings, app_id=app_id).open(clock=clock)


def query(path: Path, sql: str) -> list[tuple[Any, ...]]:
    """Runs a statement the way another program would."""
    with closing(sqlite3.connect(path)) as connection:
        rows = connection.execute(sql).fetchall()
        connection.commit()
    return rows


def is_sound(path: Path) -> bool:
    return query(path, "PRAGMA integrity_check") == [("ok",)]


def content(path: Path) -> bytes:
    return path.read_bytes()


def write(path: Path, data: bytes) -> None:
    path.write_bytes(data)
