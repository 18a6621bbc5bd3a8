"""Helpers that produce data of an app with a real runner."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from tests.support.waiting import wait_until
from trigger_engine import InvocationStatus, TriggerEngine
from trigger_engine._cli.app_loading import load_app
from trigger_engine._readmodel.history import History
from trigger_engine._readmodel.records import EventRecord

Work = Callable[[TriggerEngine], Coroutine[Any, Any, Any]]


def in_app(target: str, work: Work, *, runner: bool = False) -> Any:
    """Calls `work` with the open app, and with a runner if `runner`. Returns its result."""

    async def enter() -> Any:
        app = load_app(target)
        async with app:
            if not runner:
                return await work(app)
            async with app.runner():
                return await work(app)

    return asyncio.run(enter())


def emit(target: str, code: str, payload: dict[str, Any] | None = None, *, runner: bool = False) -> str:
    """Emits an event and returns its id. With a runner, waits until it is evaluated and all its work has ended."""

    async def work(app: TriggerEngine) -> str:
        event_id = await app.emit_event(code, payload)
        if runner:
            await settled(app, event_id)
        return event_id

    return str(in_app(target, work, runner=runner))


async def settled(app: TriggerEngine, event_id: str) -> EventRecord:
    """Waits until an event is evaluated and all its work has ended."""
    async with app.history() as history:
        condition: Callable[[], bool | Awaitable[bool]] = lambda: _is_settled(history, event_id)  # noqa: E731
        await wait_until(condition)
        return await history.event(event_id)


async def _is_settled(history: History, event_id: str) -> bool:
    event = await history.event(event_id)
    overview = await history.overview()
    open_statuses = [status for status in InvocationStatus if not status.is_final]
    return overview.evaluated_upto >= event.position and not await history.invocations(status=open_statuses, limit=1)
