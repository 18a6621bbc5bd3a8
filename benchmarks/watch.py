"""Looking at a SQLite database of the engine from outside, while others work on it."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PATIENCE = 300.0
"""Seconds within which all work must be done."""

_SHORTEST, _LONGEST = 0.005, 0.25


class Watch:
    """Counts in one database, each with one short query."""

    def __init__(self, database: Path) -> None:
        self._connection = sqlite3.connect(f"file:{database}?mode=ro", uri=True, isolation_level=None, timeout=30)

    def close(self) -> None:
        self._connection.close()

    def runners(self) -> int:
        """Runners that have said hello and not goodbye."""
        return self._one("SELECT count(*) FROM runners")

    def leaders(self) -> int:
        """1 once there was a leader."""
        return self._one("SELECT count(*) FROM terms")

    def tail(self) -> int:
        """How many entries were written."""
        return self._one("SELECT max(tail) FROM apps")

    def mark(self) -> int:
        """What tells later invocations from those that are there now."""
        return self._one("SELECT coalesce(max(place), 0) FROM entries")

    def succeeded(self, since: int = 0) -> int:
        """Invocations registered since a mark that have ended well."""
        return self._one("SELECT count(*) FROM invocations WHERE place > ? AND status = 'success'", since)

    def stored(self) -> list[bytes]:
        """The bytes of each entry, in order."""
        return [row[0] for row in self._connection.execute("SELECT data FROM entries ORDER BY place")]

    async def wait_succeeded(self, wanted: int, since: int = 0) -> None:
        """Until so many since a mark have ended well.

        It asks seldom while much is missing, so that it costs the others little.
        """
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

    def _one(self, question: str, *given: int) -> int:
        return int(self._connection.execute(question, given).fetchone()[0])


@contextmanager
def watching(database: Path) -> Iterator[Watch]:
    """Looks at a database that is there already."""
    watch = Watch(database)
    try:
        yield watch
    finally:
        watch.close()
