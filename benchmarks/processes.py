"""Runners in processes of their own, and looking at their database from outside."""

from __future__ import annotations

import asyncio
import sqlite3
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

_PATIENCE = 300.0
_SHORTEST, _LONGEST = 0.005, 0.25


@asynccontextmanager
async def runner_process(database: Path, *, works: bool = True) -> AsyncIterator[int]:
    """A runner of `benchmarks.served` in a process of its own, up when entered, and its pid.

    With `works` false it only leads.
    """
    command = ["-m", "trigger_engine", "run", "benchmarks.served:app", "--log-level", "warning"]
    if not works:
        command += ["--queue", "a queue that nobody uses"]
    with watching(database) as watch:
        before = watch.runners()
        process = await asyncio.create_subprocess_exec(sys.executable, *command)
        try:
            while watch.runners() == before or not watch.leaders():
                if process.returncode is not None:
                    raise RuntimeError(f"the runner ended with code {process.returncode}")
                await asyncio.sleep(_SHORTEST)
            yield process.pid
        finally:
            if process.returncode is None:
                process.terminate()
            await process.wait()


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
            if passed > _PATIENCE:
                raise RuntimeError(f"{done:,} of {wanted:,} invocations have succeeded after {_PATIENCE:g} s")
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
