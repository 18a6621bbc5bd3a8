"""The app that benchmarks run: tasks that only count themselves, or wait. Also runners of it in other processes."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from trigger_engine import AsyncTask, EventContext, TriggerBuilder, TriggerEngine

if TYPE_CHECKING:
    from benchmarks.harness.stores import Store

WAIT_SECONDS = 0.02
"""Duration of the task that waits."""

RUN = ("-m", "trigger_engine", "run", "benchmarks.harness.served:app", "--log-level", "warning")
"""Arguments of Python that start a runner on the store of the environment."""

_PAUSE = 0.005


class Tally:
    """Counts the tasks that started in this process."""

    def __init__(self) -> None:
        self.begun = 0
        self._wanted = 0
        self._reached = asyncio.Event()

    def count(self) -> None:
        self.begun += 1
        if self.begun == self._wanted:
            self._reached.set()

    async def wait_begun(self, wanted: int) -> None:
        """Waits until this many tasks have started."""
        self._wanted = wanted
        self._reached.clear()
        if self.begun < wanted:
            await self._reached.wait()


class BenchmarkApp:
    """The app. `settings`: keyword arguments of TriggerEngine; `others`: how many triggers it has that never fire."""

    def __init__(self, settings: Mapping[str, Any], *, others: int = 0) -> None:
        self.app = app = TriggerEngine(**settings)
        self.tally = tally = Tally()
        self.plain: AsyncTask[[], None]

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
            async def other() -> None: ...


def number_of(ctx: EventContext) -> dict[str, Any]:
    return {"number": ctx.payload["number"]}


@asynccontextmanager
async def runner_process(
    store: Store, app: TriggerEngine, *, works: bool = True, concurrency: int | None = None
) -> AsyncIterator[int]:
    """A runner in another process; yields its pid once it runs and there is a leader.

    `app`: open on the same store. With `works=False` the runner only leads.
    """
    command = [*RUN]
    if not works:
        command += ["--queue", "a queue that nobody uses"]
    if concurrency is not None:
        command += ["--concurrency", str(concurrency)]
    before = await store.runners(app)
    process = await asyncio.create_subprocess_exec(sys.executable, *command)
    try:
        while await store.runners(app) == before or not await store.has_leader(app):
            if process.returncode is not None:
                raise RuntimeError(f"the runner ended with code {process.returncode}")
            await asyncio.sleep(_PAUSE)
        yield process.pid
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()
