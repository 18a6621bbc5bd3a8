"""MongoDB under chaos: a server of the run's own, which is restarted, killed and paused, and steps down."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any

from trigger_engine_mongodb import appending, claiming

from tests.robustness.chaos.driver.harmed_server import HarmedServer
from tests.support.servers.mongodb_servers import MongoServer

_TIMEOUT = 30.0
SERVER = HarmedServer(MongoServer)


def settings(folder: Path) -> dict[str, Any]:
    """Keywords of an app on the server of a folder."""
    _go_by_the_clock_of_the_run()
    return {"trigger_cls": "MongoTrigger", "mongodb": {"url": SERVER.url(folder), "timeout": _TIMEOUT}}


def die_in_append(mark: Path) -> None:
    """A place in the log is taken, and will not be filled by this process."""
    fill = appending._Append._fill

    async def die_or_fill(writer: Any, number: int, base: int, left: Any) -> bool:
        if os.path.exists(mark):  # noqa: ASYNC240 (at once)
            from tests.robustness.chaos.driver.stores import die_on

            die_on(mark)
        return await fill(writer, number, base, left)

    appending._Append._fill = die_or_fill  # type: ignore[assignment, method-assign]


def _go_by_the_clock_of_the_run() -> None:
    """What is due follows the clock that the driver sets, in place of the server's, which it cannot set."""
    claiming.Claimer._due_time = _by_the_own_clock  # type: ignore[method-assign]


async def _by_the_own_clock(self: claiming.Claimer, now: float) -> float:
    return now


async def _step_down(folder: Path) -> None:
    await asyncio.to_thread(SERVER.of(folder).step_down)


FAULTS = {**SERVER.faults, "let the primary step down": _step_down}
