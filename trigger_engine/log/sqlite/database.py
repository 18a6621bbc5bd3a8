"""One connection to the file, used by one thread: it opens, notices a replaced file, and runs transactions."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from contextlib import suppress
from typing import Protocol, TypeVar

from trigger_engine.errors import ConfigError
from trigger_engine.log.sqlite.failures import is_of_the_file, translated
from trigger_engine.log.sqlite.forks import Guarded
from trigger_engine.log.sqlite.turnstile import PRIVATE_FILE, Turnstile, run_folder

T = TypeVar("T")

CHECKPOINT_PAGES = 4_000
"""Pages that the write-ahead log may have before a commit moves them into the file."""
CACHE_KIB = 64 * 1024


class Options(Protocol):
    """The settings that a connection needs; see `SQLiteSettings`."""

    @property
    def synchronous(self) -> str: ...
    @property
    def busy_timeout(self) -> float: ...


class Database(Guarded):
    """A connection that opens itself when it is needed. `prepare` is called with every new one, in no transaction."""

    def __init__(
        self, path: str, options: Options, prepare: Callable[[sqlite3.Connection, Turnstile, str], None]
    ) -> None:
        super().__init__()
        self.path = path
        self._options = options
        self._prepare = prepare
        self._turnstile = Turnstile(run_folder(path))
        self._connection: sqlite3.Connection | None = None
        self._file: tuple[int, int] | None = None
        self._wal: tuple[int, int] | None = None

    @property
    def file(self) -> object:
        """Which file the connection is to; another one when it was replaced."""
        return self._file

    def read(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Runs `work` on one consistent state. Raises BackendUnavailable, ConfigError, and what `work` raises."""
        with translated(self.path), self.gate:
            return self._run("BEGIN", work)

    def write(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Runs `work` as one durable transaction, undone when it raises; errors as `read`."""
        with translated(self.path), self._turnstile, self.gate:
            return self._run("BEGIN IMMEDIATE", work)

    def open(self) -> None:
        """Opens the connection now, for its errors."""
        with translated(self.path), self.gate:
            self._current()

    def close(self) -> None:
        """Closes the connection and the lock files; both open again when they are needed."""
        with self.gate:
            self._disconnect()
            self._turnstile.close()

    def drop_inherited(self) -> None:
        self._disconnect()
        self._turnstile.close()

    def _run(self, begin: str, work: Callable[[sqlite3.Connection], T]) -> T:
        try:
            return _in_transaction(self._current(), begin, work)
        except sqlite3.DatabaseError as exc:
            if is_of_the_file(exc):
                self._disconnect()
            raise

    def _current(self) -> sqlite3.Connection:
        """The connection to the file that is at the path now."""
        if self._connection is not None and identity(self.path) != self._file:
            self._leave_replaced_file(self._connection)
        if self._connection is None:
            self._connection = self._connect()
        return self._connection

    def _connect(self) -> sqlite3.Connection:
        _make_private(self.path)
        connection = sqlite3.connect(
            self.path,
            timeout=self._options.busy_timeout,
            isolation_level=None,
            check_same_thread=False,
            cached_statements=256,
        )
        try:
            connection.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
            connection.execute(f"PRAGMA synchronous = {self._options.synchronous}")
            connection.execute(f"PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES}")
            self._prepare(connection, self._turnstile, self.path)
        except BaseException:
            connection.close()
            raise
        self._file = identity(self.path)
        self._wal = identity(f"{self.path}-wal")
        return connection

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _leave_replaced_file(self, connection: sqlite3.Connection) -> None:
        """Saves what the old file's write-ahead log holds, and keeps that log from being taken for the new file's."""
        with suppress(sqlite3.DatabaseError):
            connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
        # While the old one is open no new one can have its inode.
        if self._wal is not None and identity(f"{self.path}-wal") == self._wal:
            for suffix in ("-wal", "-shm"):
                with suppress(FileNotFoundError):
                    os.unlink(self.path + suffix)
        self._disconnect()


def _make_private(path: str) -> None:
    """Makes the file where there is none: SQLite's would be for everybody. Its companions get the same mode."""
    # What is wrong with the path, SQLite says. One that is there is left alone: closing it would free SQLite's locks.
    with suppress(OSError):
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, PRIVATE_FILE))


def identity(path: str) -> tuple[int, int] | None:
    """Device and inode of a file, None when there is none."""
    try:
        found = os.stat(path)
    except FileNotFoundError:
        return None
    except OSError as exc:
        raise ConfigError(f"{path} cannot be reached: {exc.strerror}; check sqlite_db_path") from exc
    return found.st_dev, found.st_ino


def _in_transaction(connection: sqlite3.Connection, begin: str, work: Callable[[sqlite3.Connection], T]) -> T:
    connection.execute(begin)
    try:
        result = work(connection)
        connection.execute("COMMIT")
    except BaseException:
        # SQLite has ended the transaction itself after some errors, such as a full disk.
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
    return result
