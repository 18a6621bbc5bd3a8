"""Sends scripts and commands to the server; retries until a deadline, then raises BackendUnavailable."""

from __future__ import annotations

import asyncio
import ssl
import weakref
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

import redis.exceptions as failures
from hiredis import pack_command
from redis.asyncio.connection import AbstractConnection

from trigger_engine.backend import Retries, log_closed_error
from trigger_engine.errors import BackendUnavailable, ConfigError
from trigger_engine_redis.abandoned import abandon
from trigger_engine_redis.locator import Locator
from trigger_engine_redis.scripts import Script

T = TypeVar("T")
Command = Sequence[Any]
"""The words of a command."""

_TEMPORARY = ("MISCONF", "NOREPLICAS", "LOADING", "MASTERDOWN", "CLUSTERDOWN", "UNBLOCKED", "BUSY")
"""Error answers that another attempt may not get."""

_REFUSED = (failures.AuthenticationError, failures.AuthorizationError, failures.NoPermissionError)
_LOST = (
    OSError,
    TimeoutError,
    failures.ConnectionError,
    failures.TimeoutError,
    failures.ReadOnlyError,
    failures.ClusterError,
    failures.AskError,
    failures.TryAgainError,
    failures.InvalidResponse,
)


class TooFewReplicas(Exception):
    """Fewer replicas than `wait_replicas` have an append."""


class Server:
    """The connections of one open log. A request may run twice: every script is written for that."""

    def __init__(self, locator: Locator, keys: Sequence[str], *, location: str, seconds: float) -> None:
        self._locator = locator
        self._keys = tuple(keys)
        self._location = location
        self._seconds = seconds
        self._free: list[AbstractConnection] = []
        self._open: set[AbstractConnection] = set()
        self._closed = False
        abandoned = weakref.finalize(self, abandon, self._open, asyncio.get_running_loop())
        abandoned.atexit = False

    async def run(self, script: Script, *arguments: Any) -> Any:
        """Runs a script and returns its result. Raises BackendUnavailable, ConfigError."""
        return (await self.ask(self.call(script, *arguments), script=script))[0]

    def call(self, script: Script, *arguments: Any) -> Command:
        """The command that calls a script."""
        return ("EVALSHA", script.sha, len(self._keys), *self._keys, *arguments)

    async def ask(self, *commands: Command, script: Script | None = None, needs_replicas: int = 0) -> list[Any]:
        """Sends commands together and returns their answers. `script`: the one that the first command calls.

        With `needs_replicas` the last answer must be a number that is at least as high.
        """

        async def attempt() -> list[Any]:
            connection = await self._take()
            try:
                answers = await _exchange(connection, commands, script)
            except BaseException:
                # It may not be usable any more.
                await self._drop(connection)
                raise
            self._give_back(connection)
            if needs_replicas and answers[-1] < needs_replicas:
                raise TooFewReplicas(f"{answers[-1]} of {needs_replicas} replicas have it")
            return answers

        return await self._retry(attempt)

    async def wait_for(self, command: Command, seconds: float) -> Any:
        """The answer to a command that blocks for up to `seconds`, without retries.

        Raises what redis-py raises, OSError, TimeoutError.
        """
        async with asyncio.timeout(seconds + self._seconds / 2):
            connection = await self._take()
            try:
                (answer,) = await _exchange(connection, [command], None)
            except BaseException:
                await self._drop(connection)
                raise
        self._give_back(connection)
        return answer

    async def aclose(self) -> None:
        """Closes all connections; closing twice is harmless."""
        self._closed = True
        self._free.clear()
        for connection in list(self._open):
            await self._drop(connection)
        await self._locator.aclose()

    async def _retry(self, attempt: Callable[[], Awaitable[T]]) -> T:
        loop = asyncio.get_running_loop()
        retries = Retries(self._location, self._seconds)
        while True:
            if self._closed:
                raise log_closed_error(self._location)
            try:
                # If the server hangs, there is time for a second connection.
                async with asyncio.timeout_at(min(retries.deadline, loop.time() + self._seconds / 2)):
                    return await attempt()
            except _REFUSED as exc:
                raise ConfigError(
                    f"{self._locator.shown} refuses this user ({exc}): correct user and password in url, or grant "
                    "the user its rights"
                ) from exc
            except (*_LOST, TooFewReplicas, failures.ResponseError) as exc:
                if isinstance(exc.__context__, ssl.SSLCertVerificationError):
                    raise ConfigError(
                        f"the certificate of {self._locator.shown} is not trusted ({exc.__context__.verify_message}): "
                        "name its authority in url (?ssl_ca_certs=…)"
                    ) from exc
                if isinstance(exc, failures.ResponseError) and not _may_pass(exc):
                    raise BackendUnavailable(self._explain(exc)) from exc
                server = self._locator.shown
                if not isinstance(exc, TooFewReplicas):
                    await self._drop_free()
                await retries.wait_after(exc, server)

    def _explain(self, exc: failures.ResponseError) -> str:
        text = _text(exc)
        if isinstance(exc, failures.OutOfMemoryError) or text.startswith("OOM"):
            return (
                f"{self._locator.shown} has no memory left, nothing was stored: raise its maxmemory, or keep less "
                "(event_retention_days)"
            )
        if "LOGFULL" in text:
            return (
                f"the log in {self._location} holds {int(text.split()[-1]):,} entries, its limit, and refuses events "
                "and calls: keep less (event_retention_days, trigger-engine purge), or raise max_entries"
            )
        return f"{self._locator.shown} answered {text}: check its log, and what else uses the keys of {self._location}"

    async def _take(self) -> AbstractConnection:
        if self._free:
            return self._free.pop()
        connection = await self._locator.connect()
        self._open.add(connection)
        return connection

    def _give_back(self, connection: AbstractConnection) -> None:
        if connection in self._open:
            self._free.append(connection)

    async def _drop(self, connection: AbstractConnection) -> None:
        self._open.discard(connection)
        await connection.disconnect(nowait=True)

    async def _drop_free(self) -> None:
        """Drops connections that may lead to a server that is gone, or no longer has the keys."""
        connections, self._free = self._free, []
        for connection in connections:
            await self._drop(connection)
        self._locator.renew()


async def _exchange(connection: AbstractConnection, commands: Sequence[Command], script: Script | None) -> list[Any]:
    """Sends commands together; raises the first error among the answers after reading all of them."""
    packed = b"".join([pack_command(tuple(command)) for command in commands])
    await connection.send_packed_command(packed, check_health=False)
    answers: list[Any] = []
    error: failures.ResponseError | None = None
    for _ in commands:
        try:
            answers.append(await connection.read_response())
        except failures.ResponseError as exc:
            error = error or exc
    if script is not None and isinstance(error, failures.NoScriptError):
        await connection.send_command("SCRIPT", "LOAD", script.text)
        await connection.read_response()
        return await _exchange(connection, commands, None)
    if error is not None:
        raise error
    return answers


def _may_pass(exc: failures.ResponseError) -> bool:
    return isinstance(exc, _LOST) or _text(exc).startswith(_TEMPORARY)


def _text(exc: BaseException) -> str:
    return str(exc) or type(exc).__name__
