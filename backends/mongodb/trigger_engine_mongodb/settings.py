"""The settings of the MongoDB backend."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from trigger_engine.backend import ServerSettings
from trigger_engine_mongodb.urls import check_url


class MongoLocation(ServerSettings, frozen=True):
    """Where the data is, and the client that reaches it."""

    url: Annotated[
        str, Meta(description="`mongodb://` or `mongodb+srv://` with the options of PyMongo, such as `replicaSet`")
    ] = "mongodb://localhost:27017"
    database: Annotated[
        str,
        Meta(
            pattern=r"\A[^\s/\\.\"$*<>:|?\x00]+\Z",
            max_length=63,
            description="The database; each app has its own collections in it, `APP.…`",
        ),
    ] = "trigger_engine"
    driver: Annotated[
        Literal["motor", "pymongo"], Meta(description="The client: motor, or the asynchronous client of PyMongo")
    ] = "motor"

    def __post_init__(self) -> None:
        check_url(self.url)


class MongoSettings(MongoLocation, frozen=True, kw_only=True):
    """The section `mongodb`."""

    hole_timeout: Annotated[
        float,
        Meta(
            ge=1,
            le=600,
            description="How long readers wait for a writer that has reserved a position in the log and not filled it; "
            "then the position stays empty, and the writer reserves another one",
            extra={"unit": "seconds"},
        ),
    ] = 2.0
