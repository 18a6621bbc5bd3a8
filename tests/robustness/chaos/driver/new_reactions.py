"""Reactions as the newer code declares them; runners import a copy of this file as `reactions`."""

from tests.robustness.chaos.driver.shop import app, load, ran, take_order
from trigger_engine import TriggerBuilder


@app.task(task_id="reactions.greet", triggers=TriggerBuilder().on_event("order", payload_filter={"vip": False}))
async def greet() -> None:
    """Its trigger was another one in older code."""
    ran()


@app.task(task_id="reactions.survey", triggers=TriggerBuilder().on_event("truck").on_status(load))
async def survey() -> None:
    """Added: waits for a truck and a load."""
    ran()


@app.task(task_id="reactions.rate", triggers=TriggerBuilder().on_status(take_order))
async def rate() -> None:
    """Listened to more in older code."""
    ran()
