"""The backend for MongoDB: a replica set, or a sharded cluster."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trigger_engine.backend import Backend, Check, Clock, open_or_close
from trigger_engine_mongodb.settings import MongoSettings
from trigger_engine_mongodb.urls import shown

if TYPE_CHECKING:
    from trigger_engine_mongodb.log import MongoLog


class MongoTrigger(Backend):
    """Keeps an app's data in MongoDB, for processes on many hosts."""

    name = "MongoTrigger"
    family = "Mongo"
    section = "mongodb"
    settings_type = MongoSettings
    needs_app_id = True

    def location(self) -> str:
        return f"{shown(self.settings.url)} (database {self.settings.database}, collections {self.app_id}.*)"

    async def open(self, *, clock: Clock) -> MongoLog:
        """Opens the log. Raises BackendUnavailable when the server cannot be used for `timeout`, ConfigError."""
        from trigger_engine_mongodb.log import MongoLog

        log = MongoLog(self.settings, app_id=self.app_id, location=self.location(), clock=clock)
        return await open_or_close(log, log.tail())

    async def check(self) -> list[Check]:
        """Findings about the server and its settings."""
        from trigger_engine_mongodb.checks import check_server

        return await check_server(self.settings, app_id=self.app_id, location=self.location())
