"""An app with a past: what happened in it, made by a real runner."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from tests.support.waiting import wait_until
from trigger_engine import InvocationStatus, TriggerEngine
from trigger_engine.cli.app_loading import load_app
from trigger_engine.history import EventRecord, History

Work = Callable[[TriggerEngine], Coroutine[Any, Any, Any]]


def in_app(target: str, work: Work, *, runner: bool = False) -> Any:
    """What `work` returns, called with the app open, and with a runner up when `runner`."""

    async def enter() -> Any:
        app = load_app(target)
        async with app:
            if not runner:
                return await work(app)
            async with app.runner():
                return await work(app)

    return asyncio.run(enter())


def emit(target: str, code: str, payload: dict[str, Any] | None = None, *, runner: bool = False) -> str:
    """Emits one event; with a runner also waits until it is judged and all that it started has ended. Gives its id."""

    async def work(app: TriggerEngine) -> str:
        event_id = await app.emit_event(code, payload)
        if runner:
            await settled(app, event_id)
        return event_id

    return str(in_app(target, work, runner=runner))


async def settled(app: TriggerEngine, event_id: str) -> EventRecord:
    """The event, once it is judged and what it started has ended."""
    async with app.history() as history:
        condition: Callable[[], bool | Awaitable[bool]] = lambda: _is_settled(history, event_id)  # noqa: E731
        await wait_until(condition)
        return await history.event(event_id)


async def _is_settled(history: History, event_id: str) -> bool:
    event = await history.event(event_id)
    overview = await history.overview()
    open_statuses = [status for status in InvocationStatus if not status.is_final]
    return overview.judged_upto >= event.position and not await history.invocations(status=open_statuses, limit=1)
