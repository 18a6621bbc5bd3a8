"""Reads a SQLite database of the engine from outside while other processes work on it."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

PATIENCE = 300.0
"""Seconds after which work that is not done fails the benchmark."""

_SHORTEST, _LONGEST = 0.005, 0.25


class Watch:
    """Each method is one short query."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def runners(self) -> int:
        """The number of runners that have registered and not left."""
        return self.number("SELECT count(*) FROM runners")

    def leaders(self) -> int:
        """1 once a leader was elected, else 0."""
        return self.number("SELECT count(*) FROM terms")

    def tail(self) -> int:
        """The number of entries ever written."""
        return self.number("SELECT max(tail) FROM apps")

    def mark(self) -> int:
        """A mark that later invocations are counted from."""
        return self.number("SELECT coalesce(max(place), 0) FROM entries")

    def succeeded(self, since: int = 0) -> int:
        """The number of invocations registered after a mark that have succeeded."""
        return self.number("SELECT count(*) FROM invocations WHERE place > ? AND status = 'success'", since)

    def stored(self) -> list[bytes]:
        """The bytes of each entry, in order."""
        return [row[0] for row in self._connection.execute("SELECT data FROM entries ORDER BY place")]

    async def wait_succeeded(self, wanted: int, since: int = 0) -> None:
        """Waits until this many invocations after a mark have succeeded. Polls rarely while many are missing."""
        loop = asyncio.get_running_loop()
        begun, before = loop.time(), self.succeeded(since)
        pause = _SHORTEST
        while (done := self.succeeded(since)) < wanted:
            await asyncio.sleep(pause)
            passed = loop.time() - begun
            if passed > PATIENCE:
                raise RuntimeError(f"{done:,} of {wanted:,} invocations have succeeded after {PATIENCE:g} s")
            left = passed / (done - before) * (wanted - done) if done > before else _SHORTEST
            pause = min(_LONGEST, max(_SHORTEST, left / 2))

    def number(self, query: str, *values: int | str) -> int:
        """The only value of a query."""
        return int(self._connection.execute(query, values).fetchone()[0])


@contextmanager
def watching(database: Path) -> Iterator[Watch]:
    """Opens an existing database for reading."""
    uri = f"file:{database}?mode=ro"
    with closing(sqlite3.connect(uri, uri=True, isolation_level=None, timeout=30)) as connection:
        yield Watch(connection)
