"""One connection to the file, used by one thread. It runs transactions and notices when the file was replaced."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

from trigger_engine._storage.sqlite.failures import is_file_error, translated
from trigger_engine._storage.sqlite.fair_lock import PRIVATE_FILE, FairLock, run_folder
from trigger_engine._storage.sqlite.forks import Guarded
from trigger_engine._storage.sqlite.settings import SQLiteSettings
from trigger_engine.errors import ConfigError

T = TypeVar("T")

CHECKPOINT_PAGES = 4_000
"""Pages in the write-ahead log at which a commit copies them into the file."""
CACHE_KIB = 64 * 1024


class Database(Guarded):
    """A connection that opens on first use. `prepare` is called with every new connection, outside of a transaction."""

    def __init__(
        self, path: str, settings: SQLiteSettings, prepare: Callable[[sqlite3.Connection, FairLock, str], None]
    ) -> None:
        super().__init__()
        self.path = path
        self._settings = settings
        self._prepare = prepare
        self._fair_lock = FairLock(run_folder(path))
        self._connection: sqlite3.Connection | None = None
        self._file: tuple[int, int] | None = None
        self._wal: tuple[int, int] | None = None

    @property
    def file(self) -> object:
        """The identity of the connected file; it changes when the file is replaced."""
        return self._file

    def read(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Runs `work` on one consistent state. Raises BackendUnavailable, ConfigError, and what `work` raises."""
        with translated(self.path), self.gate:
            return self._run("BEGIN", work)

    def write(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Runs `work` as one durable transaction, rolled back when it raises. Raises the same errors as `read`."""
        with translated(self.path), self._fair_lock, self.gate:
            return self._run("BEGIN IMMEDIATE", work)

    def open(self) -> None:
        """Opens the connection now, so that its errors show."""
        with translated(self.path), self.gate:
            self._current()

    def close(self) -> None:
        """Closes the connection and the lock files; the next use opens them again."""
        with self.gate:
            self._disconnect()
            self._fair_lock.close()

    def drop_inherited(self) -> None:
        self._disconnect()
        self._fair_lock.close()

    def _run(self, begin: str, work: Callable[[sqlite3.Connection], T]) -> T:
        try:
            return _in_transaction(self._current(), begin, work)
        except sqlite3.DatabaseError as exc:
            if is_file_error(exc):
                self._disconnect()
            raise

    def _current(self) -> sqlite3.Connection:
        """The connection to the file that is now at the path."""
        if self._connection is not None and identity(self.path) != self._file:
            self._leave_replaced_file(self._connection)
        if self._connection is None:
            self._connection = self._connect()
        return self._connection

    def _connect(self) -> sqlite3.Connection:
        _make_private(self.path)
        connection = sqlite3.connect(
            self.path,
            timeout=self._settings.busy_timeout,
            isolation_level=None,
            check_same_thread=False,
            cached_statements=256,
        )
        try:
            connection.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
            connection.execute(f"PRAGMA synchronous = {self._settings.synchronous}")
            connection.execute(f"PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES}")
            self._prepare(connection, self._fair_lock, self.path)
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
        """Saves the old file's write-ahead log, and removes it so that SQLite does not apply it to the new file."""
        with suppress(sqlite3.DatabaseError):
            connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
        # While the old log is open, no new one can have its inode.
        if self._wal is not None and identity(f"{self.path}-wal") == self._wal:
            for suffix in ("-wal", "-shm"):
                with suppress(FileNotFoundError):
                    os.unlink(self.path + suffix)
        self._disconnect()


def _make_private(path: str) -> None:
    """Creates a missing file with a private mode, which its companions inherit; SQLite would let everyone read it."""
    # SQLite reports a bad path. An existing file is not opened here: closing it would release SQLite's locks.
    with suppress(OSError):
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, PRIVATE_FILE))


def identity(path: str) -> tuple[int, int] | None:
    """Device and inode of a file, None when it is missing."""
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
        # After some errors, such as a full disk, SQLite has already ended the transaction.
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
    return result
