"""The app under chaos: tasks that emit, fail, retry, call each other and wait for one another."""

from __future__ import annotations

import asyncio
from typing import Any

from tests.robustness.chaos.driver.place import MovedClock, Place, add_line
from tests.robustness.chaos.driver.stores import STORES
from trigger_engine import EventContext, ExceptionContext, ResultContext, TriggerBuilder, TriggerEngine
from trigger_engine import current_invocation as current
from trigger_engine._client.connections import Connections
from trigger_engine.testing._faults import Faults
from trigger_engine.testing._faulty_log import FaultyBackend

HEARTBEAT_TTL = 1.5
CRON_MINUTES = 3

place = Place.of_environment()
clock = MovedClock(place.clock)
faults = Faults()
app = TriggerEngine(
    app_id="chaos",
    **STORES[place.store].settings(place.folder),
    lease_ttl=1.0,
    heartbeat_interval=0.3,
    heartbeat_ttl=HEARTBEAT_TTL,
    checkpoint_interval=0.4,
    retire_after=2.0,
    retry_backoff=0.1,
    retry_backoff_max=0.5,
    max_recoveries=1_000,
    concurrency=20,
    process_workers=1,
    shutdown_timeout=3.0,
    event_auto_purge_enabled=False,
)
app._internals.connections = Connections(FaultyBackend(app._internals.connections.backend, faults), clock)


def ran() -> int:
    """Writes down that the code of an invocation has begun to run; returns the attempt."""
    running = current()
    assert running is not None
    add_line(place.executions, f"{running.invocation_id} {running.attempt} {running.claim_id or '-'}")
    return running.attempt


def of_event(ctx: EventContext) -> dict[str, Any]:
    return {"number": ctx.payload["number"]}


def of_result(ctx: ResultContext) -> dict[str, Any]:
    return {"number": ctx.result}


def of_exception(ctx: ExceptionContext) -> dict[str, Any]:
    return {"number": ctx.arguments.kwargs["number"]}


def label_of(ctx: EventContext) -> dict[str, Any]:
    if ctx.payload["number"] % 19 == 0:
        raise KeyError("no label is left")
    return {"number": ctx.payload["number"]}


def relayed(ctx: EventContext) -> dict[str, Any]:
    return {"number": ctx.payload["number"], "left": ctx.payload["left"]}


def is_payable(payload: dict[str, Any]) -> bool:
    return bool(payload["number"] % 11)


def is_loud(payload: dict[str, Any]) -> bool:
    """Of older code alone."""
    return bool(payload["number"] % 3)


def is_odd(result: int) -> bool:
    return result % 2 == 1


def is_heavy(payload: dict[str, Any]) -> bool:
    return bool(payload["number"] % 7 == 0)


def is_left(payload: dict[str, Any]) -> bool:
    if payload["number"] % 23 == 0:
        raise ValueError("a filter that fails")
    return bool(payload["left"] > 0)


@app.task(
    triggers=TriggerBuilder()
    .on_event("order", payload_filter=is_payable)
    .on_event("urgent", payload_filter={"paid": True})
    .with_logic("or")
    .with_args_from_event(of_event),
    max_retries=2,
    retry_for=ConnectionError,
)
async def take_order(number: int) -> int:
    """Now and then slow, so that faults find it at work; retries for some, fails for others, emits for others."""
    attempt = ran()
    await asyncio.sleep(0.05 * (number % 7))
    if number % 13 == 0 and attempt == 1:
        raise ConnectionResetError("the first attempt")
    if number % 50 == 0:
        raise LookupError(f"no stock for {number}")
    if number % 10 == 3:
        await app.emit_event("shipped", {"number": number})
    return number


@app.task(
    triggers=TriggerBuilder()
    .on_status(take_order)
    .on_result(take_order, filter_result=is_odd)
    .with_args_from_result(of_result)
)
async def count_odd(number: int) -> int:
    ran()
    return number


@app.task(triggers=TriggerBuilder().on_exception(take_order, LookupError).with_args_from_exception(of_exception))
async def compensate(number: int) -> int:
    ran()
    return number


@app.task(triggers=TriggerBuilder().on_status(take_order, "RETRY"))
async def notice_retry() -> None:
    ran()


@app.task(triggers=TriggerBuilder().on_event("shipped").with_args_from_event(of_event))
def ship(number: int) -> int:
    """In a thread; emits from there."""
    ran()
    app.sync.emit_event("delivered", {"number": number})
    return number


@app.task(
    triggers=TriggerBuilder().on_event("delivered", payload_filter=is_heavy).with_args_from_event(of_event),
    run_in="process",
)
def weigh(number: int) -> int:
    """In a child process."""
    ran()
    return number


@app.task(triggers=TriggerBuilder().on_any_result(ship))
async def book() -> None:
    ran()


@app.task(triggers=TriggerBuilder().on_event("pallet").on_event("truck"))
async def load() -> None:
    """Waits for a pallet and a truck."""
    ran()


@app.task(triggers=TriggerBuilder().on_event("relay", payload_filter=is_left).with_args_from_event(relayed))
async def relay(number: int, left: int) -> None:
    """A chain: each link emits the event that starts the next."""
    ran()
    await app.emit_event("relay", {"number": number, "left": left - 1})


@app.task(triggers=TriggerBuilder().on_event("urgent").with_args_from_event(label_of))
async def label(number: int) -> None:
    """For some, its arguments cannot be made: a rejected run."""
    ran()


@app.task(triggers=TriggerBuilder().on_cron(f"*/{CRON_MINUTES} * * * *", catch_up="all"))
async def take_inventory() -> None:
    ran()


@app.task
async def parcel(number: int) -> int:
    """Called by emitters, at once or later, some under a key, some cancelled."""
    ran()
    return number
