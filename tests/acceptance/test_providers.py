"""Arguments of triggered tasks: fixed ones, those made from each kind of context, and what is wrong with some."""

from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from enum import Enum
from typing import Any

import pytest

from tests.acceptance.driving import driven
from tests.support.apps import MakeApp, on_memory
from trigger_engine import (
    CallArguments,
    CronContext,
    EventContext,
    ExceptionContext,
    InvocationStatus,
    ResultContext,
    StatusContext,
    TriggerBuilder,
    TriggerContext,
)
from trigger_engine.testing import TestEngine


class Level(Enum):
    INFO = "info"
    URGENT = "urgent"


@dataclass
class Price:
    amount: Decimal
    since: datetime


def level_of_result(ctx: ResultContext) -> dict[str, Any]:
    urgent = ctx.result.get("parcel", {}).get("express") is True
    return {"level": "urgent" if urgent else "info", "parcel": ctx.result["parcel"]}


def from_event(ctx: EventContext) -> dict[str, Any]:
    return {"told": ["event", ctx.event_code, dict(ctx.payload)]}


def from_status(ctx: StatusContext) -> dict[str, Any]:
    return {"told": ["status", ctx.status, dict(ctx.arguments.kwargs)]}


def from_result(ctx: ResultContext) -> dict[str, Any]:
    return {"told": ["result", ctx.result, dict(ctx.arguments.kwargs)]}


def from_exception(ctx: ExceptionContext) -> dict[str, Any]:
    return {"told": ["exception", ctx.exception_type, dict(ctx.arguments.kwargs)]}


def from_cron(ctx: CronContext) -> dict[str, Any]:
    return {"told": ["cron", ctx.scheduled_for.isoformat(), ctx.last_execution]}


def from_everything(ctx: TriggerContext) -> dict[str, Any]:
    kinds = [type(one).__name__ for one in ctx.contexts]
    event = None if ctx.event is None else ctx.event.payload
    result = None if ctx.result is None else ctx.result.result
    return {"told": ["all", kinds, event, result]}


def who(ctx: EventContext) -> dict[str, Any]:
    return {"name": ctx.payload["name"], "level": "info"}


def with_a_price(ctx: EventContext) -> dict[str, Any]:
    return {"price": Price(Decimal("9.90"), datetime(2026, 1, 1, tzinfo=UTC)), "level": Level.URGENT}


def nothing(ctx: EventContext) -> Any:
    return None


def too_much(ctx: EventContext) -> dict[str, Any]:
    return {"told": [], "more": 1}


def too_little(ctx: EventContext) -> dict[str, Any]:
    return {}


def unstorable(ctx: EventContext) -> dict[str, Any]:
    return {"told": [object()]}


def broken(ctx: EventContext) -> dict[str, Any]:
    return {"told": ctx.payload["missing"]}


async def test_fixed_arguments(make_app: MakeApp) -> None:
    app = make_app()

    @app.task
    async def send(parcel: str) -> None:
        pass

    @app.task(triggers=TriggerBuilder().on_status(send).with_args_static({"level": "info", "details": True}))
    async def notify(level: str, details: bool, channel: str = "mail") -> str:
        return f"{level} {details} {channel}"

    async with driven(app) as happened:
        await send("A-7")
        await happened.settle()
        (notified,) = await happened.invocations(notify)
    assert dict(notified.arguments) == {"level": "info", "details": True, "channel": "mail"}
    assert notified.result == "info True mail"


async def test_arguments_made_from_a_result(make_app: MakeApp) -> None:
    app = make_app()

    @app.task
    async def send(parcel: dict[str, Any]) -> dict[str, Any]:
        return {"parcel": parcel}

    @app.task(triggers=TriggerBuilder().on_any_result(send).with_args_from_result(level_of_result))
    async def notify(level: str, parcel: dict[str, Any]) -> str:
        return f"{level}: {parcel['to']}"

    async with driven(app) as happened:
        await send({"to": "Oulu", "express": True})
        await send({"to": "Turku"})
        await happened.settle()
        results = {one.result for one in await happened.invocations(notify)}
    assert results == {"urgent: Oulu", "info: Turku"}


async def test_each_kind_of_context_has_its_provider(make_app: MakeApp) -> None:
    app = make_app()

    @app.task
    async def send(parcel: str, copies: int = 1) -> str:
        if parcel == "lost":
            raise LookupError(parcel)
        return parcel.upper()

    triggers = [
        TriggerBuilder().on_event("sent").with_args_from_event(from_event),
        TriggerBuilder().on_status(send).with_args_from_status(from_status),
        TriggerBuilder().on_result(send, "A").with_args_from_result(from_result),
        TriggerBuilder().on_exception(send).with_args_from_exception(from_exception),
        TriggerBuilder().on_event("sent").on_result(send, "A").with_args_from_trigger_context(from_everything),
    ]

    @app.task(triggers=triggers)
    async def note(told: list[Any]) -> None:
        pass

    async with driven(app) as happened:
        await app.emit_event("sent", {"n": 1})
        await send("a")
        await send("lost")
        await happened.settle()
        told = [call["told"] for call in await happened.calls(note)]
    arguments = {"parcel": "a", "copies": 1}
    expected = [
        ["event", "sent", {"n": 1}],
        ["status", "success", arguments],
        ["result", "A", arguments],
        ["exception", "LookupError", {"parcel": "lost", "copies": 1}],
        ["all", ["EventContext", "ResultContext"], {"n": 1}, "A"],
    ]
    assert sorted(told, key=str) == sorted(expected, key=str)


async def test_a_schedule_has_its_provider_too() -> None:
    app = on_memory()

    @app.task(triggers=TriggerBuilder().on_cron("@daily").with_args_from_cron(from_cron))
    async def note(told: list[Any]) -> None:
        pass

    async with TestEngine(app, start=datetime(2026, 3, 1, 12, tzinfo=UTC)) as engine:
        await engine.advance(days=1)
        assert engine.calls(note) == [{"told": ["cron", "2026-03-02T00:00:00+00:00", None]}]


async def test_a_status_provider_also_serves_results_and_exceptions(make_app: MakeApp) -> None:
    app = make_app()

    @app.task
    async def send(parcel: str) -> str:
        if parcel == "lost":
            raise LookupError(parcel)
        return parcel

    @app.task(
        triggers=[
            TriggerBuilder().on_result(send, "a").with_args_from_status(from_status),
            TriggerBuilder().on_exception(send).with_args_from_status(from_status),
        ]
    )
    async def note(told: list[Any]) -> None:
        pass

    async with driven(app) as happened:
        await send("a")
        await send("lost")
        await happened.settle()
        told = sorted(call["told"][1] for call in await happened.calls(note))
    assert told == ["failed", "success"]


async def test_providers_are_merged_in_declaration_order(make_app: MakeApp) -> None:
    app = make_app()
    urgent = {"level": "urgent", "name": "nobody"}

    @app.task(triggers=TriggerBuilder().on_event("a").with_args_static(urgent).with_args_from_event(who))
    async def the_event_wins(name: str, level: str) -> None:
        pass

    @app.task(triggers=TriggerBuilder().on_event("a").with_args_from_event(who).with_args_static({"level": "urgent"}))
    async def the_fixed_one_wins(name: str, level: str) -> None:
        pass

    async with driven(app) as happened:
        await app.emit_event("a", {"name": "Ada"})
        await happened.settle()
        assert await happened.calls(the_event_wins) == [{"name": "Ada", "level": "info"}]
        assert await happened.calls(the_fixed_one_wins) == [{"name": "Ada", "level": "urgent"}]


@pytest.mark.parametrize("how", ["fixed", "made"])
async def test_arguments_arrive_as_the_annotated_types(make_app: MakeApp, how: str) -> None:
    app = make_app()
    seen: list[Any] = []
    values = {"price": Price(Decimal("9.90"), datetime(2026, 1, 1, tzinfo=UTC)), "level": Level.URGENT}
    builder = TriggerBuilder().on_event("a")

    @app.task(
        triggers=builder.with_args_static(values) if how == "fixed" else builder.with_args_from_event(with_a_price)
    )
    async def note(price: Price, level: Level) -> None:
        seen.append({"price": price, "level": level})

    async with driven(app) as happened:
        await app.emit_event("a")
        await happened.settle()
    assert seen == [values]


@pytest.mark.parametrize(
    ("provider", "error"),
    [
        (nothing, "NoneType"),
        (too_much, "unexpected keyword argument 'more'"),
        (too_little, "missing 1 required positional argument: 'told'"),
        (unstorable, "type object are not supported"),
        (broken, "KeyError: 'missing'"),
    ],
)
async def test_provider_failure_rejects_the_run(make_app: MakeApp, provider: Any, error: str) -> None:
    app = make_app()

    @app.task(triggers=TriggerBuilder().on_event("a").with_args_from_event(provider))
    async def note(told: list[Any]) -> None:
        pass

    @app.task(triggers=TriggerBuilder().on_event("a").with_args_from_event(from_event))
    async def other(told: list[Any]) -> None:
        pass

    async with driven(app) as happened:
        event_id = await app.emit_event("a")
        await happened.settle()
        assert await happened.invocations(note) == []
        assert await happened.count(other) == 1
        (rejected,) = await happened.rejected()
        assert rejected.error is not None
        assert error in rejected.error
        assert rejected.invocation_id is None
        assert [one.entry_id for one in rejected.participants] == [event_id]


def test_providers_are_tested_with_contexts_made_by_keyword() -> None:
    arguments = CallArguments({"parcel": "a"})
    assert from_event(EventContext(event_code="x", payload={"n": 1})) == {"told": ["event", "x", {"n": 1}]}
    assert from_status(StatusContext(status=InvocationStatus.RETRY, arguments=arguments))["told"][1] == "retry"
    assert from_result(ResultContext(result=5, arguments=arguments)) == {"told": ["result", 5, {"parcel": "a"}]}
    assert from_exception(ExceptionContext(exception_type="E", arguments=arguments))["told"][1] == "E"
    noon = datetime(2026, 1, 1, 12, tzinfo=UTC)
    assert from_cron(CronContext(scheduled_for=noon))["told"] == ["cron", "2026-01-01T12:00:00+00:00", None]
    newest = TriggerContext(
        contexts=(EventContext(payload={"n": 1}), ResultContext(result=1), EventContext(payload={"n": 2}))
    )
    assert from_everything(newest)["told"][2:] == [{"n": 2}, 1]
    assert (newest.exception, newest.cron) == (None, None)
    assert newest.status is newest.result
