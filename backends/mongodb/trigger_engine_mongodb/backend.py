"""The backend for MongoDB: a replica set, or a cluster of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

import msgspec
from msgspec import Meta

from trigger_engine.log.attempts import ServerTimeout
from trigger_engine.log.contract import Backend, Check, Clock
from trigger_engine.log.opening import opened
from trigger_engine_mongodb.urls import check_url, shown

if TYPE_CHECKING:
    from trigger_engine_mongodb.log import MongoLog


class MongoSettings(msgspec.Struct, frozen=True):
    """The section `mongodb`."""

    url: Annotated[
        str, Meta(description="`mongodb://` or `mongodb+srv://` with the options of PyMongo, such as `replicaSet`")
    ] = "mongodb://localhost:27017"
    database: Annotated[
        str,
        Meta(
            pattern=r"\A[^\s/\\.\"$*<>:|?\x00]+\Z",
            max_length=63,
            description="The database; each app has collections of its own in it, `APP.…`",
        ),
    ] = "trigger_engine"
    driver: Annotated[
        Literal["motor", "pymongo"], Meta(description="The client: motor, or the asynchronous client of PyMongo")
    ] = "motor"
    timeout: ServerTimeout = 10.0
    hole_timeout: Annotated[
        float,
        Meta(
            ge=1,
            le=600,
            description="How long readers wait for a writer that has taken a place in the log and not filled it; "
            "then the place stays empty, and the writer takes another one",
            extra={"unit": "seconds"},
        ),
    ] = 2.0

    def __post_init__(self) -> None:
        check_url(self.url)


class MongoTrigger(Backend):
    """Keeps an app's data in MongoDB, for the processes of many hosts."""

    name = "MongoTrigger"
    family = "Mongo"
    section = "mongodb"
    settings_type = MongoSettings
    needs_app_id = True

    def location(self) -> str:
        return f"{shown(self.settings.url)} (database {self.settings.database}, collections {self.app_id}.*)"

    async def open(self, *, clock: Clock) -> MongoLog:
        """Opens the log. Raises BackendUnavailable when the server stays away for `timeout`, ConfigError."""
        from trigger_engine_mongodb.log import MongoLog

        log = MongoLog(self.settings, app_id=self.app_id, location=self.location(), clock=clock)
        return await opened(log, log.tail())

    async def check(self) -> list[Check]:
        """What the server's settings put at risk."""
        from trigger_engine_mongodb.checks import check_server

        return await check_server(self.settings, app_id=self.app_id, location=self.location())
