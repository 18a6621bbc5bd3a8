"""Server-sent events that tell a page to reload its content."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Coroutine

from starlette.requests import Request
from starlette.responses import StreamingResponse

from trigger_engine._monitor.site import Call, Site
from trigger_engine.errors import BackendUnavailable

_BEAT = 5.0
"""Seconds between two messages if nothing happens."""
_PAUSE = 0.5
"""Minimum seconds between two messages, because a page costs more than an entry."""
_LIFE = 600.0
"""Seconds after which a stream ends. Browsers reconnect automatically."""


async def live(site: Site, request: Request) -> StreamingResponse:
    """Streams `changed` and `beat` messages from the position `after` on. Data: the current end of the log."""
    after = Call(site, request).parameters("after").number("after", 0, minimum=0, maximum=2**63 - 1)
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return StreamingResponse(_messages(site, after), media_type="text/event-stream", headers=headers)


async def _messages(site: Site, position: int) -> AsyncIterator[str]:
    history = await site.history()
    ends_at = asyncio.get_running_loop().time() + _LIFE
    yield "retry: 2000\n\n"
    while not site.ending.is_set() and asyncio.get_running_loop().time() < ends_at:
        try:
            reached = await _unless_ending(site, history.wait_beyond(position, timeout=_BEAT))
        except BackendUnavailable:
            yield "event: lost\ndata:\n\n"
            reached = await _unless_ending(site, asyncio.sleep(_BEAT, position))
        if reached is None:
            return
        yield f"event: {'beat' if reached == position else 'changed'}\ndata: {reached}\n\n"
        position = reached
        await _unless_ending(site, asyncio.sleep(_PAUSE, position))


async def _unless_ending(site: Site, waiting: Coroutine[object, object, int]) -> int | None:
    """Returns the awaited result, or None if the monitor ends first."""
    task = asyncio.ensure_future(waiting)
    ending = asyncio.ensure_future(site.ending.wait())
    try:
        await asyncio.wait([task, ending], return_when=asyncio.FIRST_COMPLETED)
        return task.result() if task.done() else None
    finally:
        for one in (task, ending):
            one.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await one
