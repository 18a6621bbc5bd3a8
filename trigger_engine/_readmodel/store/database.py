"""The read model's database on its own thread. A damaged file is replaced; memory is the fallback."""

from __future__ import annotations

import contextlib
import logging
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from trigger_engine._readmodel.projection.projection import Projection
from trigger_engine._readmodel.store.cache_file import CacheFile
from trigger_engine._readmodel.store.row_retention import Caps
from trigger_engine._readmodel.store.row_store import Store
from trigger_engine._readmodel.store.thread import WorkThread

logger = logging.getLogger(__name__)
T = TypeVar("T")
_BUSY = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED})
_DISK_ERRORS = frozenset(
    {
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_PERM,
        sqlite3.SQLITE_READONLY,
    }
)


class CacheBusy(Exception):
    """Another process holds the file; the caller should try again."""


class CacheLost(Exception):
    """The file was unusable and is replaced by an empty read model; the caller should catch up and try again."""


class Database:
    """A store and its projection. `cache_file`: None for a read model in memory."""

    def __init__(self, cache_file: CacheFile | None, caps: Caps, max_contributions: int) -> None:
        self._cache_file = cache_file
        self._caps = caps
        self._max_contributions = max_contributions
        self._thread = WorkThread("trigger-engine history")
        self._path: Path | None = None
        self._store: Store | None = None
        self._projection: Projection | None = None

    async def open(self) -> None:
        """Opens the file, or a database in memory if that fails."""
        await self._thread.run(self._open)

    async def close(self) -> None:
        """Closes the connection and ends the thread."""
        try:
            await self._thread.run(self._close)
        finally:
            self._thread.stop()

    async def update(self, step: Callable[[Projection], T]) -> T:
        """Runs a step of the projection. Raises CacheBusy, CacheLost."""
        return await self._thread.run(self._guarded, lambda _, projection: step(projection))

    async def query(self, query: Callable[[sqlite3.Connection], T]) -> T:
        """Runs `query` in a read transaction. Raises CacheBusy, CacheLost, and what `query` raises."""
        return await self._thread.run(self._guarded, lambda store, _: _read(store, query))

    @contextlib.contextmanager
    def projection_lock(self) -> Iterator[bool]:
        """Holds the projection lock if it is free. Yields whether it is held."""
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
                self._handle_error(exc)
            else:
                return
        if self._cache_file is not None:
            self._use_memory("it could not be opened")
        self._use(Store(":memory:"))

    def _use(self, store: Store) -> None:
        self._store = store
        self._projection = Projection(store, self._caps, self._max_contributions)

    def _close(self) -> None:
        store, self._store, self._projection = self._store, None, None
        if store is not None:
            store.close()

    def _guarded(self, work: Callable[[Store, Projection], T]) -> T:
        if self._store is None or self._projection is None:
            raise CacheLost
        try:
            return work(self._store, self._projection)
        except sqlite3.DatabaseError as exc:
            if self._cache_file is None:
                raise
            if _code(exc) in _BUSY:
                raise CacheBusy from exc
            self._close()
            self._handle_error(exc)
            self._open()
            raise CacheLost from exc

    def _handle_error(self, error: Exception) -> None:
        """Replaces a damaged file. On a disk error, such as a full disk, keeps the file and switches to memory."""
        if self._path is None or self._cache_file is None or _code(error) in _BUSY:
            return
        if _code(error) in _DISK_ERRORS:
            self._use_memory(str(error))
            return
        logger.warning("history: %s is damaged (%s) and is rebuilt from the log", self._path, error)
        with contextlib.suppress(OSError):
            self._cache_file.replace(self._path)

    def _use_memory(self, why: str) -> None:
        assert self._cache_file is not None
        logger.warning(
            "history: no usable file in %s (%s); the read model is kept in memory, so each start reads the whole log",
            self._cache_file.folder,
            why,
        )
        self._cache_file = None


def _read(store: Store, query: Callable[[sqlite3.Connection], T]) -> T:
    with store.transaction(write=False):
        return query(store.connection)


def _code(error: Exception) -> int:
    code: Any = getattr(error, "sqlite_errorcode", None)
    return (code or 0) & 0xFF
