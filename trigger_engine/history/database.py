"""The read model's database on a thread of its own: opened, replaced when it is damaged, in memory as a last resort."""

from __future__ import annotations

import contextlib
import logging
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from trigger_engine.history.cache_file import CacheFile
from trigger_engine.history.folder import Folder
from trigger_engine.history.retention import Caps
from trigger_engine.history.store import Store
from trigger_engine.history.thread import WorkThread

logger = logging.getLogger(__name__)
T = TypeVar("T")
_BUSY = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED})
_OF_THE_DISK = frozenset(
    {
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_PERM,
        sqlite3.SQLITE_READONLY,
    }
)


class CacheBusy(Exception):
    """Another process holds the file: try again."""


class CacheLost(Exception):
    """The file cannot be used and is replaced by an empty read model: fold the log and try again."""


class Database:
    """A store and its folder. `cache_file` is None for a read model in memory."""

    def __init__(self, cache_file: CacheFile | None, caps: Caps, max_contributions: int) -> None:
        self._cache_file = cache_file
        self._caps = caps
        self._max_contributions = max_contributions
        self._thread = WorkThread("trigger-engine history")
        self._path: Path | None = None
        self._store: Store | None = None
        self._folder: Folder | None = None

    async def open(self) -> None:
        """Opens the file, or memory where that cannot be."""
        await self._thread.run(self._open)

    async def close(self) -> None:
        """Closes the connection and ends the thread."""
        try:
            await self._thread.run(self._close)
        finally:
            self._thread.stop()

    async def fold(self, step: Callable[[Folder], T]) -> T:
        """Runs a step of the fold. Raises CacheBusy, CacheLost."""
        return await self._thread.run(self._guarded, lambda _, folder: step(folder))

    async def query(self, question: Callable[[sqlite3.Connection], T]) -> T:
        """Asks something of one moment. Raises CacheBusy, CacheLost, and what the question raises."""
        return await self._thread.run(self._guarded, lambda store, _: _ask(store, question))

    @contextlib.contextmanager
    def folding_lock(self) -> Iterator[bool]:
        """Whether this process is the one to fold now; held while entered."""
        if self._cache_file is None:
            yield True
        else:
            with self._cache_file.lock() as held:
                yield held

    def _open(self) -> None:
        for _ in range(2):
            if self._cache_file is None:
                break
            try:
                self._path = self._cache_file.choose()
                self._use(Store(str(self._path)))
            except (OSError, sqlite3.Error) as exc:
                self._give_up(exc)
            else:
                return
        if self._cache_file is not None:
            self._fall_back("it could not be opened")
        self._use(Store(":memory:"))

    def _use(self, store: Store) -> None:
        self._store = store
        self._folder = Folder(store, self._caps, self._max_contributions)

    def _close(self) -> None:
        store, self._store, self._folder = self._store, None, None
        if store is not None:
            store.close()

    def _guarded(self, work: Callable[[Store, Folder], T]) -> T:
        if self._store is None or self._folder is None:
            raise CacheLost
        try:
            return work(self._store, self._folder)
        except sqlite3.DatabaseError as exc:
            if self._cache_file is None:
                raise
            if _code(exc) in _BUSY:
                raise CacheBusy from exc
            self._close()
            self._give_up(exc)
            self._open()
            raise CacheLost from exc

    def _give_up(self, error: Exception) -> None:
        """Replaces a damaged file; leaves one alone that the disk keeps from being used, such as a full one."""
        if self._path is None or self._cache_file is None or _code(error) in _BUSY:
            return
        if _code(error) in _OF_THE_DISK:
            self._fall_back(str(error))
            return
        logger.warning("history: %s is damaged (%s) and is made anew from the log", self._path, error)
        with contextlib.suppress(OSError):
            self._cache_file.replace(self._path)

    def _fall_back(self, why: str) -> None:
        assert self._cache_file is not None
        logger.warning(
            "history: no file in %s (%s); the read model is kept in memory, so each start reads the whole log",
            self._cache_file.folder,
            why,
        )
        self._cache_file = None


def _ask(store: Store, question: Callable[[sqlite3.Connection], T]) -> T:
    with store.transaction(write=False):
        return question(store.connection)


def _code(error: Exception) -> int:
    code: Any = getattr(error, "sqlite_errorcode", None)
    return (code or 0) & 0xFF
