"""Reactions as the older code declares them; runners import a copy of this file as `reactions`."""

from tests.robustness.chaos.driver.shop import app, is_loud, ran, take_order
from trigger_engine import TriggerBuilder


@app.task(task_id="reactions.greet", triggers=TriggerBuilder().on_event("order", payload_filter={"vip": True}))
async def greet() -> None:
    """Its trigger is changed by newer code."""
    ran()


@app.task(task_id="reactions.advertise", triggers=TriggerBuilder().on_event("urgent", payload_filter=is_loud))
async def advertise() -> None:
    """Removed by newer code."""
    ran()


@app.task(task_id="reactions.rate", triggers=TriggerBuilder().on_status(take_order, ["SUCCESS", "FAILED"]))
async def rate() -> None:
    """Loses a status in newer code."""
    ran()
