"""An app that produces everything an audit checks."""

from typing import Any

from trigger_engine import Event, EventContext, ResultContext, TriggerBuilder, TriggerEngine

EVENTS = [
    Event("order", {"number": 1, "kind": "book"}),
    Event("order", {"number": 2, "kind": "toy"}),
    Event("order", {"number": 3, "kind": "book"}, "order-3"),
    Event("order", {"number": 10, "kind": "book"}),
    Event("pallet", {"weight": 1}),
    Event("pallet", {"weight": 900}),
    Event("pallet", {"weight": 2}),
    Event("risky", {"number": 1}),
    Event("left", {}),
    Event("right", {}),
    Event("broken", {}),
    Event("nobody listens", {}),
    Event("ping", {}),
]


def number(context: EventContext) -> dict[str, Any]:
    return {"number": context.payload["number"]}


def result(context: ResultContext) -> dict[str, Any]:
    return {"number": context.result}


def nothing_fits(context: EventContext) -> dict[str, Any]:
    return {"unknown": context.event_id}


def is_odd(value: int) -> bool:
    return value % 2 == 1


def is_light(payload: dict[str, Any]) -> bool:
    return bool(payload["weight"] < 100)


def raises(payload: dict[str, Any]) -> bool:
    raise LookupError(payload)


def declare(app: TriggerEngine) -> None:
    """Declares the tasks and triggers."""
    findings = TriggerBuilder().on_event("order", payload_filter={"kind": "book"}).with_args_from_event(number)

    @app.task(triggers=findings, task_id="order", max_retries=1)
    async def order(number: int) -> int:
        if number % 10 == 0:
            raise ValueError(f"no {number}")
        await app.emit_event("shipped", {"number": number})
        await app.emit_event("shipped", {"number": number}, idempotency_key=f"again-{number}")
        return number

    odd = TriggerBuilder().on_status("order").on_result("order", filter_result=is_odd).with_args_from_result(result)

    @app.task(triggers=odd, task_id="odd")
    async def count_odd(number: int) -> int:
        await enqueued(number=number)
        return number

    @app.task(triggers=TriggerBuilder().on_exception("order", ValueError), task_id="compensate")
    async def compensate() -> None: ...

    @app.task(task_id="enqueued")
    def enqueued(number: int) -> None: ...

    load_both = TriggerBuilder().on_event("pallet", payload_filter=is_light).on_event("truck").on_event("driver")

    @app.task(triggers=load_both, task_id="load")
    async def load() -> None: ...

    either = TriggerBuilder().on_event("left").on_event("right").on_status("order", ["RUNNING", "RETRY"])

    @app.task(triggers=either.with_logic("or"), task_id="either", queue="other")
    async def take_either() -> None: ...

    risky = TriggerBuilder().on_event("risky", payload_filter=raises)

    @app.task(triggers=risky, task_id="risky")
    async def take_risk() -> None: ...

    @app.task(triggers=TriggerBuilder().on_event("broken").with_args_from_event(nothing_fits), task_id="broken")
    async def never() -> None: ...

    @app.task(triggers=[TriggerBuilder().on_event("ping"), TriggerBuilder().on_event("pong")], task_id="loop")
    async def loop() -> None:
        await app.emit_event("pong")

    @app.task(triggers=TriggerBuilder().on_cron("* * * * *"), task_id="minutely")
    def minutely() -> None: ...


async def arrive(app: TriggerEngine) -> None:
    """Completes the AND that waits for a pallet, a truck and a driver."""
    await app.emit_events([Event("driver", {}), Event("driver", {}), Event("truck", {})])
