"""The app of the monitor's tests, with data of every kind."""

import asyncio
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.support.apps import on_sqlite
from tests.support.waiting import wait_until
from trigger_engine import (
    EventContext,
    ExceptionContext,
    InvocationStatus,
    StatusContext,
    TriggerBuilder,
    TriggerEngine,
)
from trigger_engine._readmodel.history import History
from trigger_engine._readmodel.records import InvocationRecord, TriggerRunRecord

SCRIPT = "<script>alert(1)</script>"
SECRET = "hunter2-is-my-password"
LONG = "word " * 3_000


def order_of(ctx: EventContext) -> dict[str, Any]:
    return {"order": ctx.payload["order"]}


def problem_of(ctx: ExceptionContext) -> dict[str, Any]:
    return {"problem": f"{ctx.exception_type}: {ctx.exception_message}"}


def shipped_order_of(ctx: StatusContext) -> dict[str, Any]:
    return {"order": ctx.arguments.kwargs["order"]}


def is_expensive(payload: dict[str, Any]) -> bool:
    return bool(payload["amount"] > 1000)


def declare(app: TriggerEngine) -> None:
    """Declares the tasks."""

    @app.task(
        task_id="shop.ship",
        triggers=TriggerBuilder().on_event("order.paid", {"country": "FI"}).with_args_from_event(order_of),
    )
    async def ship(order: str) -> str:
        if order == "broken":
            raise LookupError("no such order: broken")
        await app.emit_event("order.shipped", {"order": order})
        return f"{order} is on its way"

    @app.task(
        task_id="shop.notify_customer",
        triggers=TriggerBuilder().on_status(ship).with_args_from_status(shipped_order_of),
    )
    async def notify_customer(order: str) -> None: ...

    @app.task(task_id="shop.alert", triggers=TriggerBuilder().on_exception(ship).with_args_from_exception(problem_of))
    async def alert(problem: str) -> str:
        return problem

    @app.task(
        task_id="shop.audit", triggers=TriggerBuilder().on_event("order.paid", is_expensive).on_event("audit.asked")
    )
    async def audit() -> None: ...

    @app.task(
        task_id="shop.close_day",
        triggers=TriggerBuilder().on_event("order.shipped").on_status(notify_customer).on_event("day.ended"),
    )
    async def close_day() -> None: ...

    @app.task(task_id="shop.wait")
    async def wait(seconds: float) -> str:
        await asyncio.sleep(seconds)
        return "waited"


@dataclass
class Shop:
    """The app, its history, and the ids of its events."""

    app: TriggerEngine
    history: History
    ids: dict[str, str] = field(default_factory=dict)

    async def trade(self) -> None:
        """Produces the data that the tests use."""
        emit = self.app.emit_event
        self.ids["paid"] = await emit("order.paid", {"order": "A-7", "country": "FI", "amount": 20})
        self.ids["abroad"] = await emit("order.paid", {"order": "A-8", "country": "SE", "amount": 30})
        self.ids["expensive"] = await emit("order.paid", {"order": "A-9", "country": "SE", "amount": 5000})
        self.ids["broken"] = await emit("order.paid", {"order": "broken", "country": "FI", "amount": 1})
        self.ids["nameless"] = await emit("order.paid", {"country": "FI", "amount": 1})
        self.ids["script"] = await emit(SCRIPT, {"text": SCRIPT, "api-key": SECRET, "deep": [{"userPassword": SECRET}]})
        self.ids["long"] = await emit("long", {"text": LONG})
        await self.settle()

    async def settle(self) -> None:
        """Returns when all is evaluated and everything that was started has ended."""
        await wait_until(self._is_settled)

    async def _is_settled(self) -> bool:
        newest = (await self.history.events(limit=1))[0]
        evaluated_upto = (await self.history.overview()).evaluated_upto
        still_open = await self.history.invocations(status=[one for one in InvocationStatus if not one.is_final])
        return evaluated_upto >= newest.position and not still_open

    async def invocation(self, task_id: str, **filters: Any) -> InvocationRecord:
        """Returns the newest invocation of a task."""
        return (await self.history.invocations(task_id=task_id, **filters))[0]

    async def run(self, task_id: str, **filters: Any) -> TriggerRunRecord:
        """Returns the newest trigger run of a task."""
        return next(one for one in await self.history.trigger_runs(**filters) if one.task_id == task_id)


def make_shop_app(path: Path) -> TriggerEngine:
    """Returns the app with its own file."""
    app = on_sqlite(path, app_id="shop")
    declare(app)
    return app
