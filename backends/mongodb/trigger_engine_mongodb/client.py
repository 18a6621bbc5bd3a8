"""Sends requests to the server; retries until a deadline, then raises BackendUnavailable."""

from __future__ import annotations

import asyncio
import inspect
import os
import weakref
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

from bson.errors import InvalidDocument
from pymongo import WriteConcern
from pymongo import errors as failures

from trigger_engine.backend import Retries, log_closed_error
from trigger_engine.errors import BackendUnavailable, ConfigError, SerializationError
from trigger_engine_mongodb.abandoned import abandon
from trigger_engine_mongodb.settings import MongoSettings
from trigger_engine_mongodb.urls import shown

T = TypeVar("T")
Document = dict[str, Any]

DUPLICATE_KEY = 11000
_REFUSED = {13, 18, 8000}
_TEMPORARY = {11600, 11602, 10107, 13435, 13436, 189, 91, 7, 6, 89, 9001, 262, 64, 112, 134, 211, 286}
"""Codes of a server that shuts down, starts, or is no longer the primary: another attempt may succeed."""


def new_client(settings: MongoSettings) -> Any:
    """A client of the chosen driver; it connects when it is used."""
    options: dict[str, Any] = {
        "w": "majority",
        "journal": True,
        "readConcernLevel": "majority",
        "serverSelectionTimeoutMS": int(settings.timeout * 1000),
        "connectTimeoutMS": int(settings.timeout * 1000),
        # A hanging connection is given up while there is time for another; change streams answer every second.
        "socketTimeoutMS": max(int(settings.timeout * 500), 3000),
        "heartbeatFrequencyMS": 2000,
        "tz_aware": True,
        "appname": "trigger-engine",
    }
    if settings.driver == "motor":
        from motor.motor_asyncio import AsyncIOMotorClient

        return AsyncIOMotorClient(settings.url, io_loop=asyncio.get_running_loop(), **options)
    from pymongo import AsyncMongoClient

    return AsyncMongoClient(settings.url, **options)


class Server:
    """The client of one open log. A request may run twice: every caller allows for that."""

    def __init__(self, settings: MongoSettings, *, location: str) -> None:
        self._client = new_client(settings)
        self._seconds = settings.timeout
        self._location = location
        self._shown = shown(settings.url)
        self._closed = False
        self.database = self._client[settings.database]
        abandoned = weakref.finalize(self, abandon, self._client, asyncio.get_running_loop(), os.getpid())
        abandoned.atexit = False

    @property
    def client(self) -> Any:
        """The driver's client."""
        return self._client

    def collection(self, name: str) -> Any:
        """The driver's collection; acknowledged writes are on the disks of a majority."""
        return self.database[name]

    def unsafe_collection(self, name: str) -> Any:
        """The same, but only the primary acknowledges writes: a failover may lose them."""
        return self.database.get_collection(name, write_concern=WriteConcern(w=1, j=False))

    async def aggregate(self, name: str, pipeline: Sequence[Document]) -> list[Document]:
        """All documents of an aggregation."""

        async def attempt() -> list[Document]:
            cursor = self.collection(name).aggregate(list(pipeline))
            if inspect.isawaitable(cursor):
                cursor = await cursor
            return [document async for document in cursor]

        return await self.ask(attempt)

    async def find(
        self,
        name: str,
        query: Document,
        *,
        sort: tuple[str, int] = ("_id", 1),
        limit: int = 0,
        only: Document | None = None,
    ) -> list[Document]:
        """Documents in order; `limit` 0: all. `only`: the driver's projection argument."""

        async def attempt() -> list[Document]:
            cursor = self.collection(name).find(query, only).sort(*sort).limit(limit)
            return [document async for document in cursor]

        return await self.ask(attempt)

    async def ask(self, attempt: Callable[[], Awaitable[T]]) -> T:
        """The result of `attempt`, which is retried while the server cannot be used.

        Raises BackendUnavailable, ConfigError, SerializationError, DuplicateKeyError; BulkWriteError when duplicate
        keys were the only errors.
        """
        retries = Retries(self._location, self._seconds)
        task = asyncio.current_task()
        cancelling = task.cancelling() if task is not None else 0
        while True:
            if self._closed:
                raise log_closed_error(self._location)
            try:
                async with asyncio.timeout_at(retries.deadline):
                    answer = await attempt()
                if task is not None and task.cancelling() > cancelling:
                    raise asyncio.CancelledError  # PyMongo may have swallowed it
                return answer
            except failures.DuplicateKeyError:
                raise
            except (InvalidDocument, failures.DocumentTooLarge) as exc:
                raise SerializationError(f"MongoDB cannot store it ({exc}): keep large data elsewhere") from exc
            except (failures.PyMongoError, OSError, TimeoutError) as exc:
                if task is not None and task.cancelling() > cancelling:
                    # PyMongo turns a cancellation into a lost connection.
                    raise asyncio.CancelledError from exc
                if isinstance(exc, failures.BulkWriteError) and _codes(exc) == {DUPLICATE_KEY}:
                    raise
                self._raise_if_permanent(exc)
                await retries.wait_after(exc, self._shown)

    def _raise_if_permanent(self, exc: Exception) -> None:
        """Raises when another attempt would fail too."""
        if isinstance(exc, (failures.ConfigurationError, failures.InvalidURI)):
            raise ConfigError(f"the url of {self._shown} cannot be used ({exc}): correct it") from exc
        if not isinstance(exc, failures.OperationFailure):
            return
        codes = _codes(exc)
        if codes & _REFUSED:
            raise ConfigError(
                f"{self._shown} refuses this user ({exc}): correct user and password in url, or its rights"
            ) from exc
        is_temporary = (codes and codes <= _TEMPORARY | {DUPLICATE_KEY}) or exc.has_error_label("RetryableWriteError")
        if not is_temporary:
            raise BackendUnavailable(f"{self._shown} answered {exc}: check its log, and {self._location}") from exc

    async def aclose(self) -> None:
        """Closes all connections; closing twice is harmless."""
        if not self._closed:
            self._closed = True
            closing = self._client.close()
            if inspect.isawaitable(closing):
                await closing


def _codes(exc: failures.OperationFailure) -> set[int]:
    """The error codes; for a bulk write those of each write and of the write concern."""
    if isinstance(exc, failures.BulkWriteError):
        details: Any = exc.details or {}
        found = [*details.get("writeErrors", ()), *details.get("writeConcernErrors", ())]
        return {int(each["code"]) for each in found}
    return set() if exc.code is None else {exc.code}
