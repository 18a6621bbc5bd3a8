"""The default backend: one SQLite file for all apps and processes of a host."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from trigger_engine._storage.sqlite.settings import SQLiteSettings
from trigger_engine.backend._contract import Backend, Clock
from trigger_engine.backend._log_lifecycle import open_or_close

if TYPE_CHECKING:
    from trigger_engine._storage.sqlite.log import SQLiteLog


class SQLiteTrigger(Backend):
    """Keeps an app's data in a file, which other apps may share. All processes of the host can open it."""

    name = "SQLiteTrigger"
    family = "SQLite"
    section = "sqlite"
    settings_type = SQLiteSettings
    path_keys = ("sqlite_db_path",)

    def location(self) -> str:
        return os.path.realpath(str(self.settings.sqlite_db_path))

    async def open(self, *, clock: Clock) -> SQLiteLog:
        """Opens the log and creates the file if there is none. Raises BackendUnavailable, ConfigError."""
        # Imported here: an app that only declares must not load the database driver.
        from trigger_engine._storage.sqlite.log import SQLiteLog

        log = SQLiteLog(self.location(), self.settings, app_id=self.app_id, clock=clock)
        return await open_or_close(log, log.prepare())
