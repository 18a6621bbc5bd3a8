"""A TCP proxy before a server, which cuts connections where a test says so."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit, urlunsplit

from tests.support.servers.private_server import HOST


class Proxy:
    """Forwards everything, until a test says otherwise. `cuts`: how many connections it has cut."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        assert parts.hostname is not None
        assert parts.port is not None
        self._server_url = parts
        self._target = (parts.hostname, parts.port)
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._answers_to_swallow = 0
        self._requests_to_halve = 0
        self._port = 0
        self.cuts = 0

    @property
    def url(self) -> str:
        """The server's URL by way of the proxy."""
        user, at, _ = self._server_url.netloc.rpartition("@")
        return urlunsplit(self._server_url._replace(netloc=f"{user}{at}{HOST}:{self._port}"))

    def swallow_answers(self, count: int) -> None:
        """The next so many requests reach the server; their connection is cut instead of answering."""
        self._answers_to_swallow = count

    def halve_requests(self, count: int) -> None:
        """Of the next so many requests only half reaches the server; then their connection is cut."""
        self._requests_to_halve = count

    def cut(self) -> None:
        """Cuts every connection now."""
        for writer in list(self._writers):
            self.cuts += 1
            writer.transport.abort()

    def lead_to(self, host: str, port: int) -> tuple[str, int]:
        """Leads to another server from now on, and cuts every connection. Returns where it has led to."""
        before, self._target = self._target, (host, port)
        self.cut()
        return before

    async def serve(self, client: asyncio.StreamReader, answers: asyncio.StreamWriter) -> None:
        """One client's connection."""
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        try:
            server, requests = await asyncio.open_connection(*self._target)
        except OSError:
            answers.transport.abort()
            return
        own = {answers, requests}
        self._writers |= own
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._forward_requests(client, requests))
                group.create_task(self._forward_answers(server, answers))
        except* (ConnectionError, _Cut):
            pass
        finally:
            self._writers -= own
            for writer in own:
                writer.transport.abort()

    async def _forward_requests(self, client: asyncio.StreamReader, requests: asyncio.StreamWriter) -> None:
        while data := await client.read(1 << 20):
            if self._requests_to_halve > 0:
                self._requests_to_halve -= 1
                self.cuts += 1
                requests.write(data[: len(data) // 2])
                await requests.drain()
                raise _Cut
            requests.write(data)
            await requests.drain()
        raise _Cut

    async def _forward_answers(self, server: asyncio.StreamReader, answers: asyncio.StreamWriter) -> None:
        while data := await server.read(1 << 20):
            if self._answers_to_swallow > 0:
                self._answers_to_swallow -= 1
                self.cuts += 1
                raise _Cut
            answers.write(data)
            await answers.drain()
        raise _Cut

    async def aclose(self) -> None:
        """Cuts every connection, and returns when they are gone."""
        self.cut()
        if self._tasks:
            await asyncio.wait(self._tasks)

    async def start(self) -> asyncio.Server:
        """Listens on a free port."""
        server = await asyncio.start_server(self.serve, HOST, 0)
        self._port = server.sockets[0].getsockname()[1]
        return server


class _Cut(Exception):
    """Ends both directions of a connection."""


@asynccontextmanager
async def proxied(url: str) -> AsyncIterator[Proxy]:
    """A proxy before the server of a URL."""
    proxy = Proxy(url)
    server = await proxy.start()
    try:
        yield proxy
    finally:
        server.close()
        await proxy.aclose()
