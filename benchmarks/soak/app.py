"""The app under soak: every kind of condition, filter and task, with a retention of minutes."""

from __future__ import annotations

import asyncio
import json
import os
import time
from typing import Any

from trigger_engine import EventContext, ExceptionContext, ResultContext, TriggerBuilder, TriggerContext, TriggerEngine

RETENTION_MINUTES = float(os.environ.get("SOAK_RETENTION_MINUTES", "5"))
CONCURRENCY = 10
"""Few enough that thread pools soon grow to their limit."""

_DAY_MINUTES = 1440

app = TriggerEngine(
    **json.loads(os.environ["SOAK_SETTINGS"]),
    event_retention_days=RETENTION_MINUTES / _DAY_MINUTES,
    key_retention_days=2 * RETENTION_MINUTES / _DAY_MINUTES,
    concurrency=CONCURRENCY,
    process_workers=1,
    retry_backoff=0.2,
)


def number_of(ctx: EventContext) -> dict[str, Any]:
    return {"number": ctx.payload["number"]}


def number_of_result(ctx: ResultContext) -> dict[str, Any]:
    return {"number": ctx.result}


def number_of_failed(ctx: ExceptionContext) -> dict[str, Any]:
    return {"number": ctx.arguments.kwargs["number"]}


def how_many(ctx: TriggerContext) -> dict[str, Any]:
    return {"count": len(ctx.contexts)}


def is_large(payload: dict[str, Any]) -> bool:
    return bool(payload["amount"] > 900)


def is_multiple_of_three(result: int) -> bool:
    return result % 3 == 0


def fails_sometimes(payload: dict[str, Any]) -> bool:
    if payload["number"] % 100 == 0:
        raise LookupError(payload["number"])
    return bool(payload["number"] % 2)


def does_not_fit(ctx: EventContext) -> dict[str, Any]:
    return {"wrong": ctx.event_id}


@app.task(triggers=TriggerBuilder().on_event("order", {"country": "FI"}).with_args_from_event(number_of))
async def take_order(number: int) -> int:
    """Begins a chain."""
    await app.emit_event("shipped", {"number": number, "at": "depot"})
    return number


@app.task(triggers=TriggerBuilder().on_event("order", payload_filter=is_large).with_args_from_event(number_of))
async def review(number: int) -> None:
    await asyncio.sleep(0.05)


@app.task(triggers=TriggerBuilder().on_event("shipped").with_args_from_event(number_of), max_retries=2)
async def deliver(number: int) -> int:
    """Sometimes fails, and then succeeds later or never."""
    if number % 10 == 0 or (number % 5 == 0 and int(time.time()) % 2):
        raise ConnectionError(f"no van for {number}")
    return number


@app.task(triggers=TriggerBuilder().on_exception(deliver, ConnectionError).with_args_from_exception(number_of_failed))
async def apologize(number: int) -> None: ...


@app.task(
    triggers=TriggerBuilder()
    .on_status(deliver)
    .on_result(deliver, filter_result=is_multiple_of_three)
    .with_args_from_result(number_of_result)
)
async def count_thirds(number: int) -> None: ...


@app.task(triggers=TriggerBuilder().on_event("parcel").with_args_from_event(number_of))
def weigh(number: int) -> int:
    """In a thread."""
    app.sync.emit_event("weighed", {"number": number}, idempotency_key=f"parcel-{number}")
    return number * 2


@app.task(triggers=TriggerBuilder().on_event("picture").with_args_from_event(number_of), run_in="process")
def resize(number: int) -> str:
    """In a child process."""
    return "x" * (number % 2_000)


@app.task(triggers=TriggerBuilder().on_event("pallet").on_event("truck").with_args_from_trigger_context(how_many))
async def load_truck(count: int) -> int:
    return count


@app.task(triggers=TriggerBuilder().on_event("pallet").on_event("never comes"))
async def wait_in_vain() -> None: ...


@app.task(triggers=TriggerBuilder().on_event("pallet").on_status(load_truck).with_logic("or"), queue="slow")
async def note_either() -> None: ...


@app.task(triggers=TriggerBuilder().on_event("parcel", payload_filter=fails_sometimes))
async def take_risk() -> None: ...


@app.task(triggers=TriggerBuilder().on_event("broken").with_args_from_event(does_not_fit))
async def never() -> None: ...


@app.task(triggers=TriggerBuilder().on_cron("* * * * * *"))
async def every_second() -> None: ...


@app.task(triggers=TriggerBuilder().on_cron("*/5 * * * * *"))
def every_five_seconds_in_a_thread() -> None: ...


@app.task
async def call_another(number: int) -> int:
    """Calls a task and waits for its result."""
    return int(await (await double(number)).result(timeout=60))


@app.task(max_retries=1)
async def double(number: int) -> int:
    return number * 2
