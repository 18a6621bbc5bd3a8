"""Translates SQLite's errors into this package's, with the next step in the message."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

from trigger_engine.errors import BackendUnavailable, ConfigError, NothingStored, SerializationError, TriggerEngineError

_PRIMARY = 0xFF

_FILE_ERRORS = frozenset(
    {
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_CORRUPT,
        sqlite3.SQLITE_ERROR,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_NOTADB,
        sqlite3.SQLITE_READONLY,
    }
)

_NOTHING_STORED = frozenset(
    {
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_PERM,
        sqlite3.SQLITE_READONLY,
    }
)
"""After these errors a transaction is rolled back. After others its commit may have reached the disk."""

_UNAVAILABLE = {
    sqlite3.SQLITE_BUSY: "another program kept {path} locked for longer than busy_timeout: "
    "end its transaction (an sqlite3 shell, a backup), or set a longer busy_timeout",
    sqlite3.SQLITE_LOCKED: "another connection of this program has locked {path}: try again",
    sqlite3.SQLITE_READONLY: "{path} cannot be written: give this user write access to the file and to its folder",
    sqlite3.SQLITE_PERM: "{path} cannot be accessed: give this user read and write access to the file and its folder",
    sqlite3.SQLITE_FULL: "there is no space left for {path}, nothing was stored: free some space and try again",
    sqlite3.SQLITE_CORRUPT: "{path} is damaged: stop every program that uses it, keep a copy, then restore a backup "
    "or recover what is left with: sqlite3 {path} .recover",
    sqlite3.SQLITE_ERROR: "{path} lacks something that trigger-engine created in it: if another program has changed "
    "its tables, stop every program that uses it, and restore a backup",
    sqlite3.SQLITE_IOERR: "{path} cannot be read or written: check the disk and the system log",
}


class AppIsGone(sqlite3.DatabaseError):
    """The app's row is gone; only a new connection creates it again."""

    sqlite_errorcode = sqlite3.SQLITE_ERROR
    sqlite_errorname = "SQLITE_ERROR"


@contextmanager
def translated(path: str) -> Iterator[None]:
    """Translates SQLite's errors, and errors caused by damaged values; the original is `__cause__`."""
    try:
        yield
    except SerializationError as exc:
        raise SerializationError(f"{path}: {exc}") from exc
    except TriggerEngineError:
        raise
    except sqlite3.IntegrityError as exc:
        raise _damaged(exc, path) from exc
    except sqlite3.DatabaseError as exc:
        raise translate(exc, path) from exc
    except (AttributeError, LookupError, OverflowError, TypeError, ValueError) as exc:
        raise _damaged(exc, path) from exc


def _damaged(exc: Exception, path: str) -> SerializationError:
    return SerializationError(
        f"{path} holds data that trigger-engine did not write ({type(exc).__name__}: {exc}): it is damaged, or "
        "another program has changed it; stop every program that uses it, keep a copy, then restore a backup"
    )


def translate(exc: sqlite3.DatabaseError, path: str) -> TriggerEngineError:
    """Returns BackendUnavailable if trying again may help, ConfigError if `sqlite_db_path` cannot be used."""
    code = _code(exc)
    if isinstance(exc, AppIsGone):
        return BackendUnavailable(f"{exc} from {path}, or restored an older state: try again to start a new log")
    if code == sqlite3.SQLITE_NOTADB:
        return ConfigError(f"{path} is not an SQLite database: name another file in sqlite_db_path, or move it away")
    if code == sqlite3.SQLITE_CANTOPEN:
        return _cannot_open(exc, path)
    message = _UNAVAILABLE.get(code, "{path} cannot be used now: try again")
    kind = NothingStored if code in _NOTHING_STORED else BackendUnavailable
    return kind(f"{message.format(path=path)} (SQLite says: {exc})")


def is_file_error(exc: sqlite3.DatabaseError) -> bool:
    """True when the file may be broken: only a new connection notices that it was fixed."""
    return _code(exc) in _FILE_ERRORS


def _code(exc: sqlite3.DatabaseError) -> int:
    return (getattr(exc, "sqlite_errorcode", None) or 0) & _PRIMARY


def _cannot_open(exc: sqlite3.DatabaseError, path: str) -> TriggerEngineError:
    folder = os.path.dirname(path)
    if os.path.isdir(path):
        return ConfigError(f"{path} is a folder: name a file in sqlite_db_path")
    if not os.path.isdir(folder):
        return ConfigError(f"the folder {folder} does not exist: create it, or name another file in sqlite_db_path")
    return BackendUnavailable(
        f"{path} cannot be opened: give this user write access to the file and to its folder (SQLite says: {exc})"
    )
