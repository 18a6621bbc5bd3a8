"""The app that the benchmarks run: one event, one trigger, one task that says when it started."""

from __future__ import annotations

import os
import time
from typing import Any

from trigger_engine import EventContext, TriggerBuilder, TriggerEngine

app = TriggerEngine(app_id="benchmark", sqlite={"sqlite_db_path": os.environ["BENCHMARK_DATABASE"]})


def from_ping(ctx: EventContext) -> dict[str, Any]:
    """The number of the ping."""
    return {"number": ctx.payload["number"]}


@app.task(triggers=TriggerBuilder().on_event("ping").with_args_from_event(from_ping))
async def pong(number: int) -> float:
    """When it started, seconds since 1970."""
    return time.time()
