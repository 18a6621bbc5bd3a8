"""An app with its runners and its history: a test acts, waits until nothing more follows, and asks what happened."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from tests.support.waiting import wait_until
from trigger_engine import InvocationStatus, TriggerBuilder, TriggerEngine
from trigger_engine._client.task import Task
from trigger_engine._readmodel.history import History
from trigger_engine._readmodel.records import InvocationRecord, TriggerRunRecord

MARKER = "tests.marker"
_ALL = 1000


class Driven:
    """A running app. Lists are oldest first and without what `settle` adds."""

    def __init__(self, app: TriggerEngine, history: History) -> None:
        self.app = app
        self.history = history

    async def settle(self) -> None:
        """Returns when everything is evaluated, everything that was started has ended, and nothing more followed.

        Entries are evaluated in log order: once the reaction to a marker is there, everything before it is evaluated.
        """
        ended: set[str] | None = None
        while True:
            marker = await self.app.emit_event(MARKER)

            async def reaction(event_id: str = marker) -> tuple[str, ...]:
                return (await self.history.event(event_id)).invocation_ids

            await wait_until(reaction)
            invocations = await self.invocations()
            open_ones = [one for one in invocations if not one.status.is_final]
            if not open_ones and ended == {one.invocation_id for one in invocations}:
                return
            ended = {one.invocation_id for one in invocations if one.status.is_final}

    async def invocations(self, task: Task[Any, Any] | None = None) -> list[InvocationRecord]:
        """Every invocation, of one task or of all."""
        task_id = None if task is None else task.task_id
        page = await self.history.invocations(task_id=task_id, limit=_ALL)
        assert page.next_cursor is None
        return [one for one in reversed(page) if one.task_id != MARKER]

    async def calls(self, task: Task[Any, Any]) -> list[dict[str, Any]]:
        """The arguments of each invocation of a task, all of which must have succeeded."""
        invocations = await self.invocations(task)
        assert {one.status for one in invocations} <= {InvocationStatus.SUCCESS}
        return [dict(one.arguments) for one in invocations]

    async def count(self, task: Task[Any, Any]) -> int:
        """How often a task has run."""
        return len(await self.calls(task))

    async def runs(self, task: Task[Any, Any] | None = None) -> list[TriggerRunRecord]:
        """Every trigger run, of one task or of all."""
        page = await self.history.trigger_runs(limit=_ALL)
        assert page.next_cursor is None
        runs = [run for run in reversed(page) if run.task_id != MARKER]
        return [run for run in runs if task is None or run.task_id == task.task_id]

    async def rejected(self) -> list[TriggerRunRecord]:
        """Every rejected trigger run."""
        return [run for run in await self.runs() if run.error is not None]


@asynccontextmanager
async def driven(app: TriggerEngine, *, runners: int = 1) -> AsyncIterator[Driven]:
    """Runs an app for as long as it is entered, by one runner or several."""
    declare_marker(app)
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(app)
        history = await stack.enter_async_context(app.history())
        for _ in range(runners):
            await stack.enter_async_context(app.runner())
        yield Driven(app, history)


def declare_marker(app: TriggerEngine) -> None:
    """Declares the task that reacts to markers."""

    @app.task(task_id=MARKER, triggers=TriggerBuilder().on_event(MARKER))
    async def marker() -> None:
        pass
