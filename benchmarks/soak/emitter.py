"""Emits events and calls tasks at a constant rate: `python -m benchmarks.soak.emitter FIRST RATE`, until SIGTERM."""

from __future__ import annotations

import asyncio
import itertools
import signal
import sys
from collections.abc import Iterator

from benchmarks.soak.app import app, call_another, double
from trigger_engine import Event, InvocationCancelled

_STEP = 0.1
_CALLS_A_SECOND = 4
_PAYLOAD_SIZES = (0, 50, 200, 2_000)


def events(first: int) -> Iterator[Event]:
    """An endless mixture, numbered from `first`."""
    for number in itertools.count(first):
        filling = "x" * _PAYLOAD_SIZES[number % len(_PAYLOAD_SIZES)]
        payload = {"number": number, "filling": filling}
        match number % 20:
            case 0:
                yield Event("pallet", payload)
            case 1 if number % 100 == 1:
                yield Event("truck", payload)
            case 2:
                yield Event("broken", payload)
            case 3:
                yield Event("picture", payload)
            case 4 | 5:
                yield Event("parcel", payload, f"{number}")
            case 6 | 7 | 8:
                yield Event("nobody listens", payload)
            case _:
                country = "FI" if number % 3 == 0 else "SE"
                yield Event("order", {**payload, "country": country, "amount": number % 1_000})


async def emit(mixture: Iterator[Event], rate: float) -> None:
    """Emits half of the events one at a time, the other half in batches. Does not catch up when it is late."""
    for step in itertools.count():
        begun = asyncio.get_running_loop().time()
        now = list(itertools.islice(mixture, max(1, round(rate * _STEP))))
        if step % 2:
            await app.emit_events(now)
        else:
            await asyncio.gather(*(app.emit_event(*event[:2], idempotency_key=event[2]) for event in now))
        await asyncio.sleep(max(0.0, begun + _STEP - asyncio.get_running_loop().time()))


async def call() -> None:
    """Calls tasks and awaits, cancels, delays or reruns them, some with idempotency keys."""
    for number in itertools.count():
        match number % 8:
            case 0:
                await (await double.options(delay=30)(number)).cancel()
            case 1:
                first = await double.options(idempotency_key=f"call-{number // 16}")(number)
                await first.result(timeout=60)
            case 2:
                await (await (await double(number)).rerun()).result(timeout=60)
            case 3:
                await double.options(delay=2)(number)
            case 4:
                waiting = await double.options(delay=30)(number)
                result = asyncio.ensure_future(waiting.result(timeout=60))
                await waiting.cancel()
                with_error = await asyncio.gather(result, return_exceptions=True)
                assert isinstance(with_error[0], InvocationCancelled), with_error
            case _:
                await (await call_another(number)).result(timeout=60)
        await asyncio.sleep(1 / _CALLS_A_SECOND)


async def run(first: int, rate: float) -> None:
    stopped = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopped.set)
    async with app:
        work = [asyncio.create_task(emit(events(first), rate)), asyncio.create_task(call())]
        ended = asyncio.create_task(stopped.wait())
        await asyncio.wait([*work, ended], return_when=asyncio.FIRST_COMPLETED)
        for task in (*work, ended):
            task.cancel()
        for outcome in await asyncio.gather(*work, return_exceptions=True):
            if not isinstance(outcome, asyncio.CancelledError):
                cause = outcome if isinstance(outcome, BaseException) else None
                raise RuntimeError("the load ended unexpectedly") from cause


if __name__ == "__main__":
    asyncio.run(run(int(sys.argv[1]), float(sys.argv[2])))
