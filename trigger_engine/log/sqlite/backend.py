"""The default backend: one SQLite file for all apps and processes of a host."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Annotated, Literal

import msgspec

from trigger_engine.log.contract import Backend, Clock
from trigger_engine.log.opening import opened

if TYPE_CHECKING:
    from trigger_engine.log.sqlite.log import SQLiteLog


class SQLiteSettings(msgspec.Struct, frozen=True):
    """The section `sqlite`.

    `synchronous`: FULL keeps every append through a loss of power; NORMAL may then lose the newest ones; EXTRA is
    FULL and syncs the folder too. `busy_timeout`: seconds to wait for another program's lock.
    """

    sqlite_db_path: str = "trigger_engine.db"
    synchronous: Literal["FULL", "NORMAL", "EXTRA"] = "FULL"
    busy_timeout: Annotated[float, msgspec.Meta(gt=0)] = 30.0


class SQLiteTrigger(Backend):
    """Keeps an app's data in a file, beside other apps' if you like. Processes of this host share it."""

    name = "SQLiteTrigger"
    family = "SQLite"
    section = "sqlite"
    settings_type = SQLiteSettings
    path_keys = ("sqlite_db_path",)

    def location(self) -> str:
        return os.path.realpath(str(self.settings.sqlite_db_path))

    async def open(self, *, clock: Clock) -> SQLiteLog:
        """Opens the log, and makes the file where there is none. Raises BackendUnavailable, ConfigError."""
        from trigger_engine.log.sqlite.log import SQLiteLog

        log = SQLiteLog(self.location(), self.settings, app_id=self.app_id, clock=clock)
        return await opened(log, log.prepare())
