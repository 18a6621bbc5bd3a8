"""The apps that the benchmarks run: one event, one trigger, one task that does nothing but be counted."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from pathlib import Path
from typing import Any

from benchmarks.processes import watching
from trigger_engine import AsyncTask, EventContext, TriggerBuilder, TriggerEngine, current_invocation

_NEWEST = 1_000


class Tally:
    """Counts what tasks of this process have begun, and says when it is enough."""

    def __init__(self) -> None:
        self.begun = 0
        self._wanted = 0
        self._enough = asyncio.Event()
        self._newest: deque[str] = deque(maxlen=_NEWEST)

    def count(self) -> None:
        """Called by a task."""
        self.begun += 1
        current = current_invocation()
        assert current is not None
        self._newest.append(current.invocation_id)
        if self.begun == self._wanted:
            self._enough.set()

    async def wait_begun(self, wanted: int) -> None:
        """Until so many have begun."""
        self._wanted = wanted
        self._enough.clear()
        if self.begun < wanted:
            await self._enough.wait()

    def newest(self, count: int) -> list[str]:
        """The invocations that have begun last."""
        return list(self._newest)[-count:]


class BenchmarkApp:
    """An app on a SQLite file, or in memory without one. `others`: how many triggers it has that nothing meets."""

    def __init__(self, database: Path | None, *, others: int = 0) -> None:
        if database is None:
            self.app = TriggerEngine(app_id="benchmark", trigger_cls="MemTrigger")
        else:
            self.app = TriggerEngine(app_id="benchmark", sqlite={"sqlite_db_path": str(database)})
        self.tally = Tally()
        self.plain: AsyncTask[[], None]
        self._database = database
        self._declare(others)

    async def wait_finished(self, wanted: int) -> None:
        """Until so many invocations, all of them begun in this process, have succeeded."""
        await self.tally.wait_begun(wanted)
        if self._database is not None:
            with watching(self._database) as watch:
                await watch.wait_succeeded(wanted)
            return
        for invocation_id in self.tally.newest(2 * self.app.settings.concurrency):
            await (await self.app.invocation(invocation_id)).result(timeout=60)

    def _declare(self, others: int) -> None:
        app, tally = self.app, self.tally

        @app.task(task_id="pong", triggers=TriggerBuilder().on_event("ping").with_args_from_event(number_of))
        async def pong(number: int) -> float:
            tally.count()
            return time.time()

        @app.task(task_id="react", triggers=TriggerBuilder().on_event("happened"))
        async def react() -> None:
            tally.count()

        @app.task(task_id="plain")
        async def plain() -> None:
            tally.count()

        self.plain = plain
        if others:
            unmet = [TriggerBuilder().on_event(f"other-{number}") for number in range(others)]

            @app.task(task_id="other", triggers=unmet)
            async def other() -> None:
                """Never runs."""


def number_of(ctx: EventContext) -> dict[str, Any]:
    """The number of the ping."""
    return {"number": ctx.payload["number"]}
