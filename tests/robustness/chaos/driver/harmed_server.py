"""A server of the run's own under chaos: it is restarted, killed and paused, and keeps everything over that."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Generic, TypeVar

from tests.support.servers.private_server import PrivateServer

S = TypeVar("S", bound=PrivateServer)
Fault = Callable[[Path], Awaitable[None]]
_PAUSE = 3.0


class HarmedServer(Generic[S]):
    """One server for each folder of a run. `make` is given a folder for its data."""

    def __init__(self, make: Callable[[Path], S]) -> None:
        self._make = make
        self._servers: dict[Path, S] = {}

    @contextmanager
    def running(self, folder: Path) -> Iterator[None]:
        """The server is up; all processes of the run find it."""
        with self._make(folder / "server") as started:
            self._servers[folder] = started
            _url_file(folder).write_text(started.url)
            try:
                yield
            finally:
                del self._servers[folder]

    def url(self, folder: Path) -> str:
        """Where it is; in any process."""
        return _url_file(folder).read_text()

    def of(self, folder: Path) -> S:
        """The server itself; in the process that runs it."""
        return self._servers[folder]

    @property
    def faults(self) -> Mapping[str, Fault]:
        """What can be done to any server, by kind; undone when it returns."""
        return {"restart the server": self._restart, "kill the server": self._kill, "pause the server": self._hang}

    async def _restart(self, folder: Path) -> None:
        await asyncio.to_thread(self.of(folder).stop)
        await asyncio.to_thread(self.of(folder).start)

    async def _kill(self, folder: Path) -> None:
        await asyncio.to_thread(self.of(folder).kill)
        await asyncio.to_thread(self.of(folder).start)

    async def _hang(self, folder: Path) -> None:
        self.of(folder).pause()
        try:
            await asyncio.sleep(_PAUSE)
        finally:
            self.of(folder).resume()


def _url_file(folder: Path) -> Path:
    return folder / "server.url"
