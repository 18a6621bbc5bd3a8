"""Redis under chaos: a server of the run's own, which is restarted, killed and paused."""

from __future__ import annotations

import os
from collections.abc import Sequence
from hashlib import sha1
from pathlib import Path
from typing import Any

from hiredis import pack_command
from redis.asyncio.connection import AbstractConnection
from trigger_engine_redis import scripts, server

from tests.robustness.chaos.driver.harmed_server import HarmedServer
from tests.support.servers.redis_servers import ValkeyServer

_TIMEOUT = 30.0
SERVER = HarmedServer(ValkeyServer)


def settings(folder: Path) -> dict[str, Any]:
    """Keywords of an app on the server of a folder."""
    _go_by_the_clock_of_the_run()
    return {"trigger_cls": "RedisTrigger", "redis": {"url": SERVER.url(folder), "timeout": _TIMEOUT}}


def die_in_append(mark: Path) -> None:
    """In the middle of a request: half of it has left this process."""
    exchange = server._exchange

    async def exchange_and_die(
        connection: AbstractConnection, commands: Sequence[server.Command], script: scripts.Script | None
    ) -> list[Any]:
        if script is scripts.APPEND and os.path.exists(mark):  # noqa: ASYNC240 (at once)
            packed = b"".join(pack_command(tuple(command)) for command in commands)
            await connection.send_packed_command(packed[: len(packed) // 2], check_health=False)
            from tests.robustness.chaos.driver.stores import die_on

            die_on(mark)
            raise ConnectionError("another process has died of the mark, half of a request is under way")
        return await exchange(connection, commands, script)

    server._exchange = exchange_and_die


def _go_by_the_clock_of_the_run() -> None:
    """What is due follows the clock that the driver sets, in place of the server's, which it cannot set."""
    for name, server_time, moved in (
        ("CLAIM", "local now = server_time()", "local now = tonumber(ARGV[8])"),
        ("APPEND", "local now = #detached > 0 and server_time() or 0", "local now = 0"),
    ):
        text = getattr(scripts, name).text
        assert text.count(server_time) + text.count(moved) == 1
        text = text.replace(server_time, moved)
        setattr(scripts, name, scripts.Script(text, sha1(text.encode(), usedforsecurity=False).hexdigest()))
