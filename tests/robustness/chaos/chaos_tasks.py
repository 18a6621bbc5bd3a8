"""The app under chaos: one reaction to each order, and reactions to what that did."""

import asyncio
import os
from typing import Any

from trigger_engine import EventContext, ExceptionContext, ResultContext, TriggerBuilder, TriggerEngine

app = TriggerEngine(
    app_id="chaos",
    sqlite={"sqlite_db_path": os.environ["CHAOS_DATABASE"]},
    lease_ttl=1.0,
    heartbeat_interval=0.2,
    heartbeat_ttl=1.0,
    checkpoint_interval=0.3,
    max_recoveries=1000,
    concurrency=20,
)


def order_number(ctx: EventContext) -> dict[str, Any]:
    return {"number": ctx.payload["number"]}


def is_odd(result: int) -> bool:
    return result % 2 == 1


def result_number(ctx: ResultContext) -> dict[str, Any]:
    return {"number": ctx.result}


def failed_number(ctx: ExceptionContext) -> dict[str, Any]:
    return {"number": ctx.arguments.kwargs["number"]}


@app.task(triggers=TriggerBuilder().on_event("order").with_args_from_event(order_number))
async def take_order(number: int) -> int:
    """Now and then slow, so that kills find it at work; it fails for some, and emits for others."""
    await asyncio.sleep(0.05 * (number % 7))
    if number % 50 == 0:
        raise LookupError(f"no stock for {number}")
    if number % 10 == 3:
        await app.emit_event("shipped", {"number": number})
    return number


@app.task(
    triggers=TriggerBuilder()
    .on_status(take_order)
    .on_result(take_order, filter_result=is_odd)
    .with_args_from_result(result_number)
)
async def count_odd(number: int) -> int:
    return number


@app.task(triggers=TriggerBuilder().on_exception(take_order, LookupError).with_args_from_exception(failed_number))
async def compensate(number: int) -> int:
    return number


@app.task(triggers=TriggerBuilder().on_event("shipped").with_args_from_event(order_number))
def ship(number: int) -> int:
    return number


@app.task(triggers=TriggerBuilder().on_event("pallet").on_event("truck"))
async def load() -> None:
    """Waits for a pallet and a truck."""
