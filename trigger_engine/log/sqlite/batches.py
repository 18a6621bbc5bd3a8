"""Many rows in one step of SQLite.

Each step gives up the interpreter's lock, and gets it back only when the event loop rests: with a statement for each
row a transaction would take as many rounds of a busy loop.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from functools import cache
from itertools import chain
from typing import Any

MOST_ROWS = 256


def insert_rows(connection: sqlite3.Connection, into: str, rows: Sequence[tuple[Any, ...]]) -> None:
    """Runs `INSERT INTO {into} VALUES …`; `into` names the table and its columns."""
    for chunk in _chunks(rows):
        connection.execute(_insertion(into, len(chunk), len(chunk[0])), tuple(chain.from_iterable(chunk)))


def update_rows(connection: sqlite3.Connection, update: str, where: str, rows: Sequence[tuple[Any, ...]]) -> int:
    """Runs `UPDATE {update} FROM new WHERE {where}`, where `new` has the rows as column1, column2 and so on.

    Returns how many rows were changed.
    """
    changed = 0
    for chunk in _chunks(rows):
        statement = _update(update, where, len(chunk), len(chunk[0]))
        changed += connection.execute(statement, tuple(chain.from_iterable(chunk))).rowcount
    return changed


def _chunks(rows: Sequence[tuple[Any, ...]]) -> Iterator[Sequence[tuple[Any, ...]]]:
    """Chunks of few different sizes, so that their statements stay prepared."""
    start, size = 0, MOST_ROWS
    while start < len(rows):
        while size > len(rows) - start:
            size //= 2
        yield rows[start : start + size]
        start += size


@cache
def _insertion(into: str, count: int, width: int) -> str:
    return f"INSERT INTO {into} VALUES {_marks(count, width)}"


@cache
def _update(update: str, where: str, count: int, width: int) -> str:
    return f"UPDATE {update} FROM (VALUES {_marks(count, width)}) AS new WHERE {where}"


def _marks(count: int, width: int) -> str:
    return ", ".join([f"({', '.join('?' * width)})"] * count)
