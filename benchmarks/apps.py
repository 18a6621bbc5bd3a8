"""The apps that the benchmarks run: an event, a trigger, and a task that does nothing but be counted, or waits."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from typing import Any

from trigger_engine import AsyncTask, EventContext, TriggerBuilder, TriggerEngine

WAIT_SECONDS = 0.02
"""What the task takes that only waits."""


class Tally:
    """Counts what tasks of this process have begun, and says when it is enough."""

    def __init__(self) -> None:
        self.begun = 0
        self._wanted = 0
        self._enough = asyncio.Event()

    def count(self) -> None:
        """Called by a task."""
        self.begun += 1
        if self.begun == self._wanted:
            self._enough.set()

    async def wait_begun(self, wanted: int) -> None:
        """Until so many have begun."""
        self._wanted = wanted
        self._enough.clear()
        if self.begun < wanted:
            await self._enough.wait()


class BenchmarkApp:
    """An app. `settings`: its keywords, with its store. `others`: triggers that it has and nothing meets."""

    def __init__(self, settings: Mapping[str, Any], *, others: int = 0) -> None:
        self.app = TriggerEngine(**settings)
        self.tally = Tally()
        self.plain: AsyncTask[[], None]
        self._declare(others)

    def _declare(self, others: int) -> None:
        app, tally = self.app, self.tally

        @app.task(task_id="pong", triggers=TriggerBuilder().on_event("ping").with_args_from_event(number_of))
        async def pong(number: int) -> float:
            tally.count()
            return time.time()

        @app.task(task_id="react", triggers=TriggerBuilder().on_event("happened"))
        async def react() -> None:
            tally.count()

        @app.task(task_id="wait", triggers=TriggerBuilder().on_event("waited"))
        async def wait() -> None:
            await asyncio.sleep(WAIT_SECONDS)

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
