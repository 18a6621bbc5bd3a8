"""Emits COUNT orders, pallets and trucks, and writes each event that was acknowledged down in FILE."""

import asyncio
import os
import sys

from tests.robustness.chaos.chaos_tasks import app

_CALLERS = 4
_PAUSE = 0.008


async def emit_all(count: int, acknowledged: int) -> None:
    numbers = iter(range(1, count + 1))

    async def emit_some() -> None:
        for number in numbers:
            code = "pallet" if number % 45 == 0 else "truck" if number % 60 == 1 else "order"
            event_id = await app.emit_event(code, {"number": number})
            os.write(acknowledged, f"{event_id} {code} {number}\n".encode())
            await asyncio.sleep(_PAUSE)

    async with app:
        await asyncio.gather(*(emit_some() for _ in range(_CALLERS)))


if __name__ == "__main__":
    asyncio.run(emit_all(int(sys.argv[1]), os.open(sys.argv[2], os.O_WRONLY | os.O_CREAT | os.O_APPEND)))
