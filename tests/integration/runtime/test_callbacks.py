"""Triggers on events, statuses and results in a running app, and faulty filters and providers."""

import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from tests.support.apps import MakeApp
from tests.support.leases import renewals_of_a_long_lease
from tests.support.reading import entries_of_type
from tests.support.waiting import wait_until
from trigger_engine import (
    EventContext,
    ResultContext,
    TriggerBuilder,
    TriggerContext,
    TriggerEngine,
    current_invocation,
)
from trigger_engine._model.entries import (
    BacklogExceeded,
    ChainEnded,
    EventEmitted,
    FilterFailed,
    TriggerFired,
    TriggerRejected,
)

GATE = threading.Event()
CALLS: list[str] = []


@pytest.fixture(autouse=True)
def _fresh() -> Iterator[None]:
    GATE.clear()
    CALLS.clear()
    yield
    GATE.set()


def is_large(payload: Mapping[str, Any]) -> bool:
    return bool(payload["amount"] > 100)


def raises(payload: Mapping[str, Any]) -> bool:
    raise LookupError("no such thing")


def exits(payload: Mapping[str, Any]) -> bool:
    raise SystemExit("leaving")


def never_returns(payload: Mapping[str, Any]) -> bool:
    CALLS.append("never_returns")
    GATE.wait(30)
    return True


def waits(payload: Mapping[str, Any]) -> bool:
    CALLS.append("waits")
    GATE.wait(100)
    return False


def mutates(payload: dict[str, Any]) -> bool:
    payload["amount"] = "spoilt"
    payload.clear()
    return True


def truthy(payload: Mapping[str, Any]) -> Any:
    return ["something"]


def order_of(context: EventContext) -> dict[str, Any]:
    return {"order": context.payload["order"]}


def spoiling_provider(context: EventContext) -> dict[str, Any]:
    context.payload.clear()  # type: ignore[attr-defined]
    return {"order": 1}


def raising_provider(context: EventContext) -> dict[str, Any]:
    raise LookupError("no such order")


def wrong_provider(context: EventContext) -> Any:
    return ["not", "a", "mapping"]


def unfit_provider(context: EventContext) -> dict[str, Any]:
    return {"unknown": 1}


def stuck_provider(context: EventContext) -> dict[str, Any]:
    GATE.wait(30)
    return {"order": 1}


def doubled(context: ResultContext) -> dict[str, Any]:
    return {"x": context.result * 2}


def all_orders(context: TriggerContext) -> dict[str, Any]:
    payloads = [one.payload for one in context.contexts if isinstance(one, EventContext)]
    return {"orders": [payload["order"] for payload in payloads]}


async def test_an_event_starts_its_task(make_app: MakeApp) -> None:
    app = make_app()
    seen: list[int] = []

    @app.task(triggers=TriggerBuilder().on_event("order.paid").with_args_from_event(order_of))
    async def ship(order: int) -> None:
        current = current_invocation()
        assert current is not None
        assert current.trigger_run_id is not None
        assert current.depth == 1
        seen.append(order)

    async with app, app.runner():
        event_id = await app.emit_event("order.paid", {"order": 7})
        await app.emit_event("order.lost", {"order": 8})
        await wait_until(lambda: seen)
        (fired,) = await entries_of_type(app, TriggerFired)
    assert seen == [7]
    assert [participant.entry_id for participant in fired.participants] == [event_id]


async def test_an_event_emitted_before_the_first_runner_fires(make_app: MakeApp) -> None:
    app = make_app()
    seen: list[int] = []

    @app.task(triggers=TriggerBuilder().on_event("order.paid").with_args_from_event(order_of))
    async def ship(order: int) -> None:
        seen.append(order)

    async with app:
        for order in range(3):
            await app.emit_event("order.paid", {"order": order})
        async with app.runner():
            await wait_until(lambda: len(seen) == 3)
    assert sorted(seen) == [0, 1, 2]


async def test_triggers_on_tasks_fire(make_app: MakeApp) -> None:
    app = make_app()
    seen: list[int] = []

    @app.task
    async def first(x: int) -> int:
        return x

    @app.task(triggers=TriggerBuilder().on_any_result(first).with_args_from_result(doubled))
    async def second(x: int) -> int:
        return x

    @app.task(triggers=TriggerBuilder().on_any_result(second).with_args_from_result(doubled))
    async def third(x: int) -> None:
        current = current_invocation()
        assert current is not None
        seen.append(current.depth)
        seen.append(x)

    async with app, app.runner():
        await first(1)
        await wait_until(lambda: len(seen) == 2)
    assert seen == [2, 4]


async def test_an_and_waits_for_each_of_its_events(make_app: MakeApp) -> None:
    app = make_app()
    seen: list[list[int]] = []
    both = TriggerBuilder().on_event("a").on_event("b").with_args_from_trigger_context(all_orders)

    @app.task(triggers=both)
    async def gather(orders: list[int]) -> None:
        seen.append(orders)

    async with app, app.runner():
        await app.emit_event("a", {"order": 1})
        await app.emit_event("a", {"order": 2})
        await app.emit_event("b", {"order": 3})
        await wait_until(lambda: seen)
    assert seen == [[1, 2, 3]]


async def test_an_event_emitted_inside_a_task_fires_triggers(make_app: MakeApp) -> None:
    app = make_app()
    depths: list[int] = []

    @app.task(triggers=TriggerBuilder().on_event("start"))
    async def emitter() -> None:
        await app.emit_event("middle")

    @app.task(triggers=TriggerBuilder().on_event("middle"))
    async def follower() -> None:
        current = current_invocation()
        assert current is not None
        depths.append(current.depth)

    async with app, app.runner():
        await app.emit_event("start")
        await wait_until(lambda: depths)
        middle = [e for e in await entries_of_type(app, EventEmitted) if e.event_code == "middle"]
    assert depths == [2]
    assert middle[0].emitter_task_id == emitter.task_id


@pytest.mark.parametrize(("broken", "error"), [(raises, "LookupError"), (exits, "SystemExit")])
async def test_a_raising_filter_is_recorded_and_counts_as_not_met(make_app: MakeApp, broken: Any, error: str) -> None:
    app = make_app()
    seen: list[str] = []

    @app.task(triggers=TriggerBuilder().on_event("order", broken))
    async def never() -> None:
        seen.append("never")

    @app.task(triggers=TriggerBuilder().on_event("order", is_large))
    async def large() -> None:
        seen.append("large")

    async with app, app.runner() as runner:
        event_id = await app.emit_event("order", {"amount": 101})
        await wait_until(lambda: seen)
        (failed,) = await entries_of_type(app, FilterFailed)
        assert runner.failed is None
    assert seen == ["large"]
    assert failed.entry_id == event_id
    assert failed.filter.endswith(broken.__name__)
    assert failed.error.startswith(error)


async def test_a_filter_may_return_any_truthy_value(make_app: MakeApp) -> None:
    app = make_app()
    seen: list[str] = []

    @app.task(triggers=TriggerBuilder().on_event("order", truthy))
    async def note() -> None:
        seen.append("seen")

    async with app, app.runner():
        await app.emit_event("order", {})
        await wait_until(lambda: seen)


async def test_a_hanging_filter_times_out_once_and_then_fails_immediately(
    make_app: MakeApp, caplog: pytest.LogCaptureFixture
) -> None:
    app = make_app(callable_timeout=2.0)
    seen: list[int] = []

    @app.task(triggers=TriggerBuilder().on_event("order", never_returns))
    async def never() -> None:
        seen.append(-1)

    @app.task(triggers=TriggerBuilder().on_event("order").with_args_from_event(order_of))
    async def note(order: int) -> None:
        seen.append(order)

    async with app, app.runner():
        begun = time.monotonic()
        for order in range(20):
            await app.emit_event("order", {"order": order})
        await wait_until(lambda: len(seen) == 20)
        took = time.monotonic() - begun
        failures = await entries_of_type(app, FilterFailed)
    assert took < 20 * 2.0, "only the first call waits for the timeout"
    assert CALLS == ["never_returns"]
    assert len(failures) == 20
    errors = Counter(failure.error for failure in failures)
    assert errors == {
        "took longer than 2.0 s (callable_timeout)": 1,
        "an earlier call of it has not returned yet": 19,
    }
    assert any("callable_timeout" in record.message for record in caplog.records)


async def test_a_filter_that_returned_late_is_called_again(make_app: MakeApp) -> None:
    app = make_app(callable_timeout=0.1)
    seen: list[str] = []

    @app.task(triggers=TriggerBuilder().on_event("order", never_returns))
    async def note() -> None:
        seen.append("seen")

    async with app, app.runner():
        await app.emit_event("order", {})
        await wait_until(lambda: _failures(app, 1))
        GATE.set()
        await wait_until(lambda: _emitted_and_asked(app))
        await wait_until(lambda: seen)


async def test_slow_filters_do_not_lose_the_lease(make_app: MakeApp) -> None:
    app = make_app(callable_timeout=100.0, lease_ttl=1.0)
    seen: list[str] = []

    @app.task(triggers=TriggerBuilder().on_event("order", waits))
    async def never() -> None:
        seen.append("never")

    @app.task(triggers=TriggerBuilder().on_event("order"))
    async def note() -> None:
        seen.append("seen")

    async with app:
        holders = await renewals_of_a_long_lease(app)
        async with app.runner(), app.runner():
            await app.emit_event("order", {})
            await wait_until(lambda: CALLS)
            before = len(holders)
            await wait_until(lambda: len(holders) >= before + 4)
            GATE.set()
            await wait_until(lambda: seen)
            assert CALLS == ["waits"], "no other runner has taken over and called it again"
    assert seen == ["seen"]
    assert len(set(holders)) == 1


async def test_filters_and_providers_may_mutate_their_input(make_app: MakeApp) -> None:
    app = make_app()
    seen: list[int] = []

    @app.task(triggers=TriggerBuilder().on_event("order", mutates).with_args_from_event(order_of))
    async def one(order: int) -> None:
        seen.append(order)

    @app.task(triggers=TriggerBuilder().on_event("order", mutates).with_args_from_event(spoiling_provider))
    async def two(order: int) -> None:
        seen.append(order + 10)

    @app.task(triggers=TriggerBuilder().on_event("order", is_large).with_args_from_event(order_of))
    async def three(order: int) -> None:
        seen.append(order + 20)

    async with app, app.runner():
        await app.emit_event("order", {"order": 1, "amount": 101})
        await wait_until(lambda: len(seen) == 3)
        assert len(await entries_of_type(app, EventEmitted)) == 1
        assert await entries_of_type(app, TriggerRejected) == []
    assert sorted(seen) == [1, 11, 21]


@pytest.mark.parametrize(
    ("provider", "error"),
    [
        (raising_provider, "LookupError: no such order"),
        (wrong_provider, "returned list: return a dict"),
        (unfit_provider, "unexpected keyword argument 'unknown'"),
        (stuck_provider, "took longer than 0.2 s"),
    ],
)
async def test_a_failing_provider_rejects_the_run(make_app: MakeApp, provider: Any, error: str) -> None:
    app = make_app(callable_timeout=0.2)
    seen: list[int] = []

    @app.task(triggers=TriggerBuilder().on_event("order").with_args_from_event(provider))
    async def never(order: int = 0) -> None:
        seen.append(-1)

    @app.task(triggers=TriggerBuilder().on_event("order").with_args_from_event(order_of))
    async def note(order: int) -> None:
        seen.append(order)

    async with app, app.runner() as runner:
        event_id = await app.emit_event("order", {"order": 5})
        await wait_until(lambda: seen)
        (rejected,) = await entries_of_type(app, TriggerRejected)
        assert runner.failed is None
    assert seen == [5]
    assert error in rejected.error
    assert rejected.task_id == never.task_id
    assert [participant.entry_id for participant in rejected.participants] == [event_id]


async def test_arguments_over_the_limit_reject_the_run(make_app: MakeApp) -> None:
    app = make_app(max_payload_bytes=300)

    @app.task(triggers=TriggerBuilder().on_event("order").with_args_static({"text": "x" * 1000}))
    async def never(text: str) -> None:
        pass

    async with app, app.runner():
        await app.emit_event("order", {})
        (rejected,) = await wait_until(lambda: entries_of_type(app, TriggerRejected))
    assert "PayloadTooLarge" in rejected.error


async def test_a_loop_of_triggers_stops_at_max_chain_length(make_app: MakeApp) -> None:
    app = make_app(max_chain_length=5)
    depths: list[int] = []

    @app.task(triggers=TriggerBuilder().on_event("again"))
    async def again() -> None:
        current = current_invocation()
        assert current is not None
        depths.append(current.depth)
        await app.emit_event("again")

    async with app, app.runner():
        await app.emit_event("again")
        (ended,) = await wait_until(lambda: entries_of_type(app, ChainEnded))
    assert depths == [1, 2, 3, 4, 5]
    assert ended.trigger_id.startswith("event:again") or "again" in ended.slot


async def test_a_long_backlog_is_reported_once(make_app: MakeApp, caplog: pytest.LogCaptureFixture) -> None:
    app = make_app(max_backlog=3, queues=["nothing-waits-here"])

    @app.task
    async def waits() -> None:
        pass

    async with app, app.runner():
        for _ in range(5):
            await waits()
        (exceeded,) = await wait_until(lambda: entries_of_type(app, BacklogExceeded))
    assert exceeded.waiting > exceeded.limit == 3
    warned = [record for record in caplog.records if "max_backlog=3" in record.message]
    assert len(warned) == 1


async def _emitted_and_asked(app: TriggerEngine) -> bool:
    await app.emit_event("order", {})
    return len(CALLS) > 1


async def _failures(app: TriggerEngine, count: int) -> bool:
    return len(await entries_of_type(app, FilterFailed)) == count
