"""What the tests of the SQLite log share."""

import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any, Literal

from trigger_engine.log.sqlite.backend import SQLiteSettings, SQLiteTrigger
from trigger_engine.log.sqlite.log import SQLiteLog


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
    """What another program sees in the file."""
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
