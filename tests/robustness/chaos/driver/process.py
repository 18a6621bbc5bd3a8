"""One process of a run: `python -m tests.robustness.chaos.driver.process ROLE`, of runner, emitter and reader."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from importlib import import_module

from tests.robustness.chaos.driver.emitter import Emitter
from tests.robustness.chaos.driver.place import add_line
from tests.robustness.chaos.driver.shop import app, faults, place
from tests.robustness.chaos.driver.stores import STORES, die_on
from trigger_engine._storage.sqlite.boot_clock import boot_time

_READER_PAUSE = 0.2


def die_when_marked(role: str) -> None:
    """Lets the driver kill this process in the middle of an append, or between its commit and its return."""
    STORES[place.store].die_in_append(place.mark(role, "in"))
    mark = place.mark(role, "after")

    async def die() -> None:
        die_on(mark)

    faults.call("append", behaviour=die, after=True)


async def run() -> None:
    """A runner with some version of the reactions; it writes down when each heartbeat began and was stored."""
    import_module("reactions")
    runner = app.runner()
    begun = 0.0

    async def begin() -> None:
        nonlocal begun
        begun = boot_time()

    async def end() -> None:
        add_line(place.beats, f"{runner.runner_id} {os.getpid()} {begun} {boot_time()}")

    # Its leave is the last sign of life: a runner that was silent may be told to stop before it beats again.
    faults.call("heartbeat", "leave", behaviour=begin)
    faults.call("heartbeat", "leave", behaviour=end, after=True)
    app.runner = lambda: runner  # type: ignore[method-assign]
    await app.run()


async def read() -> None:
    """Keeps the shared read model up to date, as a monitor does."""
    while not place.stop.exists():
        async with app.history() as history:
            await history.overview()
            await history.events(limit=5)
            await history.trigger_runs(limit=5)
        await asyncio.sleep(_READER_PAUSE)


def main(role: str, *arguments: str) -> None:
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(process)d %(levelname)s %(name)s %(message)s")
    die_when_marked(role)
    if role == "emitter":
        asyncio.run(Emitter(app, place, *map(int, arguments)).emit_until_stopped())
    else:
        asyncio.run({"runner": run, "reader": read}[role]())


if __name__ == "__main__":
    main(*sys.argv[1:])
