"""A runner in a process of its own, for the test of an event storm: STORM_QUEUE is the queue that it serves."""

import asyncio
import os
from typing import Any

from trigger_engine import EventContext, TriggerBuilder, TriggerEngine

app = TriggerEngine(
    app_id="storm",
    trigger_cls="SQLiteTrigger",
    sqlite={"sqlite_db_path": os.environ["STORM_DATABASE"], "synchronous": "NORMAL"},
    queues=[os.environ["STORM_QUEUE"]],
    concurrency=4,
    max_backlog=1_000,
    lease_ttl=30.0,
    heartbeat_ttl=30.0,
)


def number_of(context: EventContext) -> dict[str, Any]:
    return {"number": context.payload["number"]}


@app.task(task_id="slow", queue="slow", triggers=TriggerBuilder().on_event("storm").with_args_from_event(number_of))
async def slow(number: int) -> None:
    await asyncio.sleep(3600)


@app.task(task_id="clock", queue="quick", triggers=TriggerBuilder().on_cron("* * * * * *"))
async def clock() -> None: ...


@app.task(task_id="calm", queue="quick", triggers=TriggerBuilder().on_event("calm").with_args_from_event(number_of))
async def calm(number: int) -> None: ...


if __name__ == "__main__":
    asyncio.run(app.run())
