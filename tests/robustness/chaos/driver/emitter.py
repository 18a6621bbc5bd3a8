"""An emitter: it writes down what it is about to emit or call, and what was acknowledged."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import suppress
from datetime import timedelta

from tests.robustness.chaos.driver import shop
from tests.robustness.chaos.driver.deeds import Deed
from tests.robustness.chaos.driver.place import Place, add_line, lines
from trigger_engine import Event, InvocationNotFound, TriggerEngine

_PAUSE = 0.05
_CALLERS = 3
_NUMBERS = 1_000_000
"""Numbers of one emitter; so all of them are known by their number."""


class Emitter:
    """Emitter `index` of a run."""

    def __init__(self, app: TriggerEngine, place: Place, seed: int, index: int) -> None:
        self._app = app
        self._place = place
        self._seed = seed
        self._first = index * _NUMBERS + 1
        self._record = place.emitted / str(index)

    async def emit_until_stopped(self) -> None:
        """Does one deed after the other; first again those that a killed predecessor did not see acknowledged."""
        written = lines(self._record)
        begun = [int(number) for word, number, *_ in written if word == "begin"]
        known = {int(number) for word, number, *_ in written if word == "done"}
        async with self._app:
            for number in begun:
                deed = Deed.of(self._seed, number)
                if deed.keyed and number not in known:
                    await self._do(deed)
            numbers = iter(range(max(begun, default=self._first - 1) + 1, self._first + _NUMBERS))
            await asyncio.gather(*(self._emit(numbers) for _ in range(_CALLERS)))

    async def _emit(self, numbers: Iterator[int]) -> None:
        while not self._place.stop.exists():
            deed = Deed.of(self._seed, next(numbers))
            add_line(self._record, f"begin {deed.number}")
            await self._do(deed)
            await asyncio.sleep(_PAUSE)

    async def _do(self, deed: Deed) -> None:
        if deed.events:
            ids = await self._emit_events(deed)
        else:
            ids = [await self._call(deed)]
        add_line(self._record, f"done {deed.number} {' '.join(ids)}")

    async def _emit_events(self, deed: Deed) -> list[str]:
        key = f"deed-{deed.number}" if deed.keyed else None
        if len(deed.events) == 1:
            ((code, payload),) = deed.events
            return [await self._app.emit_event(code, payload, idempotency_key=key)]
        events = [Event(code, payload, key and f"{key}-{payload['place']}") for code, payload in deed.events]
        return await self._app.emit_events(events)

    async def _call(self, deed: Deed) -> str:
        key = f"deed-{deed.number}" if deed.keyed else None
        delay = None if deed.delay is None else timedelta(seconds=deed.delay)
        invocation = await shop.parcel.options(delay=delay, idempotency_key=key)(number=deed.number)
        if deed.cancelled:
            # Done again under its key, it may have ended, and retention may have removed it.
            with suppress(InvocationNotFound):
                await invocation.cancel()
        return invocation.invocation_id
