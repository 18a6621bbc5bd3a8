"""The state that the scenarios share: the app, its history, and helpers that wait for results."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from narration import Narrator

from trigger_engine import EventRecord, History, InvocationRecord, Page, Task, TriggerEngine, TriggerRunRecord

T = TypeVar("T")
POLL_INTERVAL = 0.05


class ScenarioFailed(Exception):
    """A scenario did not finish in time, or had an unexpected result."""


@dataclass(kw_only=True)
class DemoRun:
    """One run of the demo. `edition`: its name. `feed`: the folder of documents.

    `patience`: seconds to wait for each step. The scenarios fill `enriched` and `digest`.
    """

    app: TriggerEngine
    history: History
    narrator: Narrator
    edition: str
    feed: Path
    output: Path
    patience: float
    is_running: Callable[[], bool]
    enriched: list[InvocationRecord] = field(default_factory=list)
    digest: list[Path] = field(default_factory=list)

    async def until(self, look: Callable[[], Awaitable[T | None]], awaited: str) -> T:
        """Calls `look` until it finds something, and returns that. Raises ScenarioFailed."""
        try:
            async with asyncio.timeout(self.patience):
                while not (found := await look()):
                    if not self.is_running():
                        raise ScenarioFailed(f"the runner ended while waiting for {awaited}")
                    await asyncio.sleep(POLL_INTERVAL)
                return found
        except TimeoutError:
            raise ScenarioFailed(f"no {awaited} within {self.patience:g} s") from None

    async def run_of(self, event_id: str, task: Task[Any, Any]) -> TriggerRunRecord:
        """Waits for an event's trigger run of a task. Raises ScenarioFailed, also if the run was rejected."""

        async def look() -> TriggerRunRecord | None:
            runs = await self.history.trigger_runs(event_id=event_id)
            return next((run for run in runs if run.task_id == task.task_id), None)

        run = await self.until(look, f"run of {task.task_id} for event:{event_id}")
        if run.error is not None:
            raise ScenarioFailed(f"trigger-run:{run.run_id} was rejected: {run.error}")
        return run

    async def end_of(self, invocation_id: str | None) -> InvocationRecord:
        """Waits for an invocation to end, successfully or not. Raises ScenarioFailed."""

        async def look() -> InvocationRecord | None:
            found = await self.history.invocation(str(invocation_id))
            return found if found.status.is_final else None

        return await self.until(look, f"end of invocation:{invocation_id}")

    async def emitted_by(self, invocation_id: str) -> list[EventRecord]:
        """All events that an invocation emitted, oldest first."""
        return await everything(lambda cursor: self.history.events(emitted_by=invocation_id, cursor=cursor, limit=500))


async def everything(page_at: Callable[[str | None], Awaitable[Page[T]]]) -> list[T]:
    """All records of a paged list, oldest first."""
    page = await page_at(None)
    records = list(page)
    while page.next_cursor is not None:
        page = await page_at(page.next_cursor)
        records += page
    return records[::-1]
