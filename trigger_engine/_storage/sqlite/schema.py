"""The tables of the file, and the migration of older files.

A `place` is the app's number * 2**40 + the entry's position, so that each app's entries are stored together and in
order without another index. An invocation has the place of its registration.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from trigger_engine._storage.sqlite.fair_lock import FairLock
from trigger_engine.errors import BackendUnavailable, ConfigError

POSITIONS_PER_APP = 2**40

STEPS: tuple[Sequence[str], ...] = (
    (
        """CREATE TABLE apps (
            number INTEGER PRIMARY KEY AUTOINCREMENT,
            app_id TEXT UNIQUE,  -- NULL: emptied, what is left of it is being removed
            log_id TEXT NOT NULL,
            tail INTEGER NOT NULL,  -- the newest position ever given
            trimmed INTEGER NOT NULL  -- the newest position that is removed
        )""",
        """CREATE TABLE entries (
            place INTEGER PRIMARY KEY,
            app INTEGER NOT NULL,
            id TEXT NOT NULL,
            key_used_at REAL,  -- when a keyed entry was made
            data BLOB NOT NULL
        )""",
        "CREATE UNIQUE INDEX entries_by_id ON entries (app, id)",
        """CREATE TABLE keys (  -- ids that stay refused though their entries are removed
            app INTEGER NOT NULL,
            id TEXT NOT NULL,
            position INTEGER NOT NULL,
            used_at REAL NOT NULL,
            PRIMARY KEY (app, id)
        ) WITHOUT ROWID""",
        "CREATE INDEX keys_by_age ON keys (app, used_at)",
        """CREATE TABLE invocations (
            place INTEGER PRIMARY KEY,
            app INTEGER NOT NULL,
            id TEXT NOT NULL,
            task_id TEXT NOT NULL,
            queue TEXT NOT NULL,
            status TEXT NOT NULL,
            attempt INTEGER NOT NULL,
            claim_id TEXT NOT NULL,
            runner_id TEXT,
            recoveries INTEGER NOT NULL,
            not_before REAL,
            changed_at INTEGER NOT NULL,  -- position of the newest status entry, or of the registration
            ready_in TEXT,  -- the queue in which it waits for a runner
            delayed_until REAL,  -- when it goes there
            registration BLOB,  -- copied from entries when they are removed
            latest BLOB
        )""",
        "CREATE UNIQUE INDEX invocations_by_id ON invocations (app, id)",
        "CREATE INDEX invocations_ready ON invocations (app, ready_in, task_id) WHERE ready_in IS NOT NULL",
        "CREATE INDEX invocations_delayed ON invocations (app, delayed_until) WHERE delayed_until IS NOT NULL",
        "CREATE INDEX invocations_held ON invocations (app, runner_id) WHERE status IN ('pending', 'running')",
        """CREATE TABLE terms (
            app INTEGER NOT NULL, name TEXT NOT NULL, position INTEGER NOT NULL, PRIMARY KEY (app, name)
        ) WITHOUT ROWID""",
        """CREATE TABLE leases (
            app INTEGER NOT NULL,
            name TEXT NOT NULL,
            owner TEXT NOT NULL,
            expires_at REAL NOT NULL,  -- seconds since the boot boot_id
            ttl REAL NOT NULL,
            boot_id TEXT NOT NULL,
            locked INTEGER NOT NULL,  -- whether its owner also holds the lease's lock file
            PRIMARY KEY (app, name)
        ) WITHOUT ROWID""",
        """CREATE TABLE runners (
            app INTEGER NOT NULL,
            runner_id TEXT NOT NULL,
            facts BLOB NOT NULL,
            last_seen REAL NOT NULL,  -- seconds since 1970
            expires_at REAL NOT NULL,  -- seconds since the boot boot_id
            ttl REAL NOT NULL,
            boot_id TEXT NOT NULL,
            PRIMARY KEY (app, runner_id)
        ) WITHOUT ROWID""",
        """CREATE TABLE checkpoints (
            app INTEGER NOT NULL,
            name TEXT NOT NULL,
            position INTEGER NOT NULL,
            entry_id TEXT NOT NULL,
            term INTEGER NOT NULL,
            data BLOB NOT NULL,
            PRIMARY KEY (app, name, position)
        )""",
    ),
)
"""Item n holds the statements that turn schema version n into n + 1. Published ones never change."""

VERSION = len(STEPS)


def prepare(connection: sqlite3.Connection, fair_lock: FairLock, path: str) -> None:
    """Migrates the file to the current schema. Raises ConfigError for another program's file or a newer version."""
    version = _version(connection, path)
    (mode,) = connection.execute("PRAGMA journal_mode").fetchone()
    if version == VERSION and mode == "wal":
        return
    with fair_lock:
        # A copy made by VACUUM INTO has no write-ahead log.
        _use_write_ahead_log(connection, path)
        if version < VERSION:
            connection.execute("BEGIN IMMEDIATE")
            try:
                _migrate(connection, path)
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise


def _version(connection: sqlite3.Connection, path: str) -> int:
    """The schema version, 0 for an empty file."""
    tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")}
    if "trigger_engine_schema" not in tables:
        if tables:
            raise ConfigError(
                f"{path} is the database of another program (it has a table {min(tables)!r}): "
                "name another file in sqlite_db_path"
            )
        return 0
    versions = [version for (version,) in connection.execute("SELECT version FROM trigger_engine_schema")]
    if len(versions) != 1 or not isinstance(versions[0], int) or versions[0] < 1:
        raise ConfigError(
            f"{path} does not say which schema version it has (its table trigger_engine_schema holds {versions}): "
            "another program has changed it, restore a backup, or name another file in sqlite_db_path"
        )
    version = versions[0]
    if version > VERSION:
        raise ConfigError(
            f"{path} has schema version {version}, but this trigger-engine reads up to {VERSION}: "
            "upgrade trigger-engine, or name another file in sqlite_db_path"
        )
    return version


def _use_write_ahead_log(connection: sqlite3.Connection, path: str) -> None:
    (mode,) = connection.execute("PRAGMA journal_mode = WAL").fetchone()
    if mode != "wal":
        raise BackendUnavailable(
            f"{path} cannot use a write-ahead log (SQLite says: {mode}): put the file on a local disk"
        )


def _migrate(connection: sqlite3.Connection, path: str) -> None:
    """Runs the missing steps, if any: another process may have migrated the file meanwhile."""
    version = _version(connection, path)
    if version == 0:
        connection.execute("CREATE TABLE trigger_engine_schema (version INTEGER NOT NULL)")
        connection.execute("INSERT INTO trigger_engine_schema VALUES (0)")
    for step in STEPS[version:]:
        for statement in step:
            connection.execute(statement)
    connection.execute("UPDATE trigger_engine_schema SET version = ?", (VERSION,))
