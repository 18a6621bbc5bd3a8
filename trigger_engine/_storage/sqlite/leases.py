"""Named leases. The holder also holds a file lock where possible, so that its death is noticed at once.

The lock can only end a lease early; without it the lease lasts until it expires.
"""

from __future__ import annotations

import sqlite3

import msgspec

from trigger_engine._model.ids import derive
from trigger_engine._storage.sqlite.apps import load_app
from trigger_engine._storage.sqlite.boot_clock import BootClock, Expiry
from trigger_engine._storage.sqlite.fair_lock import FileLock, run_folder
from trigger_engine._storage.sqlite.forks import Guarded
from trigger_engine._storage.sqlite.rows import stored_row


class _Held(msgspec.Struct, frozen=True, array_like=True):
    owner: str
    locked: int
    expires_at: float
    ttl: float
    boot_id: str


class LeaseLocks(Guarded):
    """The lock files of the leases that one open log holds, by app, name and owner."""

    def __init__(self, path: str) -> None:
        super().__init__()
        self._folder = run_folder(path)
        self._locks: dict[tuple[str, str, str], FileLock] = {}

    def try_lock(self, app_id: str, name: str, owner: str) -> bool:
        """True when this owner now has the lock."""
        with self.gate:
            if (app_id, name, owner) in self._locks:
                return True
            lock = FileLock(self._folder, f"lease-{derive(app_id, name)}.lock")
            if not lock.try_lock():
                lock.close()
                return False
            self._locks[app_id, name, owner] = lock
            return True

    def unlock(self, app_id: str, name: str, owner: str) -> None:
        """Releases the lock if this owner has it."""
        with self.gate:
            lock = self._locks.pop((app_id, name, owner), None)
        if lock is not None:
            lock.close()

    def close(self) -> None:
        """Releases every lock."""
        with self.gate:
            self.drop_inherited()

    def drop_inherited(self) -> None:
        for lock in self._locks.values():
            lock.close()
        self._locks.clear()


def acquire(
    connection: sqlite3.Connection,
    app_id: str,
    name: str,
    owner: str,
    *,
    expiry: Expiry,
    clock: BootClock,
    locks: LeaseLocks,
) -> bool:
    """Acquires or renews the lease until `expiry`. False while another owner has it."""
    app = load_app(connection, app_id)
    row = connection.execute(
        "SELECT owner, locked, expires_at, ttl, boot_id FROM leases WHERE app = ? AND name = ?", (app.number, name)
    ).fetchone()
    if row is not None:
        held = stored_row(row, _Held, f"the lease {name!r}")
        is_held = held.owner != owner and not clock.is_over(Expiry(held.expires_at, held.ttl, held.boot_id))
        if is_held and not (held.locked and locks.try_lock(app_id, name, owner)):
            locks.unlock(app_id, name, owner)
            return False
    connection.execute(
        "REPLACE INTO leases (app, name, owner, locked, expires_at, ttl, boot_id) VALUES (?, ?, ?, ?, ?, ?, ?)",
        (app.number, name, owner, locks.try_lock(app_id, name, owner), expiry.at, expiry.ttl, expiry.boot_id),
    )
    return True


def release(connection: sqlite3.Connection, app_id: str, name: str, owner: str) -> None:
    """Releases the lease if this owner has it."""
    app = load_app(connection, app_id)
    connection.execute("DELETE FROM leases WHERE app = ? AND name = ? AND owner = ?", (app.number, name, owner))
