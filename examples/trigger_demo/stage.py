"""What every scenario works with: the app, its history, and waiting for what must come to be."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from narration import Narrator

from trigger_engine import Task, TriggerEngine
from trigger_engine.history import EventRecord, History, InvocationRecord, Page, TriggerRunRecord

T = TypeVar("T")
LOOK_AGAIN = 0.05


class DidNotHappen(Exception):
    """A scenario did not come about in time, or not as it should."""


@dataclass(kw_only=True)
class Stage:
    """One performance: `edition` names it, `feed` is the folder of documents.

    `patience`: seconds that anything awaited may take. `enriched` and `digest` are filled by the scenarios.
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
        """What `look` finds, as soon as it finds something. Raises DidNotHappen."""
        try:
            async with asyncio.timeout(self.patience):
                while not (found := await look()):
                    if not self.is_running():
                        raise DidNotHappen(f"the runner has ended while {awaited} was awaited")
                    await asyncio.sleep(LOOK_AGAIN)
                return found
        except TimeoutError:
            raise DidNotHappen(f"{awaited}: nothing of it within {self.patience:g} s") from None

    async def run_of(self, event_id: str, task: Task[Any, Any]) -> TriggerRunRecord:
        """The trigger run of a task that an event took part in. Raises DidNotHappen, also when it was rejected."""

        async def look() -> TriggerRunRecord | None:
            runs = await self.history.trigger_runs(event_id=event_id)
            return next((run for run in runs if run.task_id == task.task_id), None)

        run = await self.until(look, f"a run of {task.task_id} for event:{event_id}")
        if run.error is not None:
            raise DidNotHappen(f"trigger-run:{run.run_id} was rejected: {run.error}")
        return run

    async def end_of(self, invocation_id: str | None) -> InvocationRecord:
        """An invocation once it has ended, whichever way. Raises DidNotHappen."""

        async def look() -> InvocationRecord | None:
            found = await self.history.invocation(str(invocation_id))
            return found if found.status.is_final else None

        return await self.until(look, f"the end of invocation:{invocation_id}")

    async def emitted_by(self, invocation_id: str) -> list[EventRecord]:
        """Every event that an invocation emitted, oldest first."""
        return await everything(lambda cursor: self.history.events(emitted_by=invocation_id, cursor=cursor, limit=500))


async def everything(page_at: Callable[[str | None], Awaitable[Page[T]]]) -> list[T]:
    """The records of all pages of a list, oldest first."""
    page = await page_at(None)
    records = list(page)
    while page.next_cursor is not None:
        page = await page_at(page.next_cursor)
        records += page
    return records[::-1]
