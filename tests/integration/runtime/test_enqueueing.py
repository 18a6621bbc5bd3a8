"""Enqueueing calls and events: delays, idempotency keys, queues, and values that cannot be stored."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from tests.support.apps import MakeApp, on_memory
from tests.support.reading import entries, entries_of_type
from tests.support.waiting import wait_until
from trigger_engine import Event, InvocationStatus, PayloadTooLarge, SerializationError
from trigger_engine._model.entries import EventEmitted, InvocationRegistered
from trigger_engine.testing import TestEngine


async def test_a_delayed_call_waits() -> None:
    app = on_memory()
    times: list[float] = []

    @app.task
    async def note() -> None:
        times.append(engine.now.timestamp())

    async with TestEngine(app) as engine:
        begun = engine.now.timestamp()
        await note.options(delay=timedelta(minutes=5))()
        await note.options(delay=1.5)()
        await engine.run_until_idle()
        assert times == []
        await engine.advance(minutes=10)
    assert [time - begun for time in times] == [1.5, 300.0]


async def test_a_delayed_call_starts_soon_after_its_delay(make_app: MakeApp) -> None:
    app = make_app()

    @app.task
    async def quick() -> str:
        return "done"

    async with app, app.runner():
        loop = asyncio.get_running_loop()
        begun = loop.time()
        invocation = await quick.options(delay=1.0)()
        assert await invocation.status() is InvocationStatus.REGISTERED
        assert await invocation.result(timeout=60) == "done"
        assert 0.95 <= loop.time() - begun < 30.0


async def test_a_repeated_call_with_a_key_returns_the_first_invocation(make_app: MakeApp) -> None:
    app = make_app()
    seen: list[int] = []

    @app.task
    async def charge(amount: int) -> int:
        seen.append(amount)
        return amount

    async with app, app.runner():
        keyed = charge.options(idempotency_key="order-42")
        first, second = await asyncio.gather(keyed(10), keyed(99))
        assert first == second
        assert await first.result(timeout=60) == await second.result(timeout=10)
        third = await keyed(5)
        assert third == first
        assert await charge.options(idempotency_key="order-43")(7) != first
        await wait_until(lambda: len(seen) == 2)
        assert len(await entries_of_type(app, InvocationRegistered)) == 2
    assert seen[0] in {10, 99}


async def test_a_key_applies_to_one_task(make_app: MakeApp) -> None:
    app = make_app()

    @app.task
    async def one() -> None:
        pass

    @app.task
    async def two() -> None:
        pass

    async with app:
        assert await one.options(idempotency_key="k")() != await two.options(idempotency_key="k")()


async def test_a_repeated_event_with_a_key_returns_the_first_id(make_app: MakeApp) -> None:
    app = make_app()
    async with app:
        first = await app.emit_event("paid", {"order": 1}, idempotency_key="order-1")
        again = await app.emit_event("paid", {"order": 2}, idempotency_key="order-1")
        other_code = await app.emit_event("sent", {"order": 1}, idempotency_key="order-1")
        events = await entries_of_type(app, EventEmitted)
    assert first == again != other_code
    assert [event.id for event in events] == [first, other_code]


async def test_many_events_are_appended_at_once_in_order(make_app: MakeApp) -> None:
    app = make_app()
    async with app:
        ids = await app.emit_events([Event("a", {"n": 1}), ("b", None), ("c", {}, "key")])
        events = await entries_of_type(app, EventEmitted)
        assert await app.emit_events([]) == []
    assert [event.id for event in events] == ids
    assert [event.event_code for event in events] == ["a", "b", "c"]


async def test_no_event_is_stored_if_one_is_invalid(make_app: MakeApp) -> None:
    app = make_app()
    async with app:
        with pytest.raises(SerializationError, match="'b'"):
            await app.emit_events([("a", {}), ("b", {"x": object()}), ("c", {})])
        assert await entries(app) == []


async def test_an_unencodable_argument_is_named_and_nothing_is_stored(make_app: MakeApp) -> None:
    app = make_app()

    @app.task
    async def take(thing: Any) -> None:
        pass

    async with app:
        with pytest.raises(SerializationError, match="argument thing"):
            await take(object())
        assert await entries(app) == []


async def test_arguments_over_the_limit_are_refused(make_app: MakeApp) -> None:
    app = make_app(max_payload_bytes=100)

    @app.task
    async def take(text: str) -> None:
        pass

    async with app:
        with pytest.raises(PayloadTooLarge, match="max_payload_bytes"):
            await take("x" * 200)
        with pytest.raises(PayloadTooLarge, match="max_payload_bytes"):
            await app.emit_event("big", {"text": "x" * 200})
        assert await entries(app) == []


async def test_arguments_that_do_not_match_the_signature_raise_type_error(make_app: MakeApp) -> None:
    app = make_app()

    @app.task
    async def take(x: int) -> None:
        pass

    with pytest.raises(TypeError, match="missing 1 required positional argument: 'x'"):
        await take()  # type: ignore[call-arg]


async def test_a_runner_with_queues_claims_only_from_them(make_app: MakeApp) -> None:
    app = make_app(queues=["slow"])

    @app.task
    async def by_default() -> None:
        pass

    @app.task(queue="slow")
    async def declared() -> None:
        pass

    async with app, app.runner():
        other = await by_default()
        chosen = await by_default.options(queue="slow")()
        await (await declared()).result(timeout=60)
        await chosen.result(timeout=60)
        assert await other.status() is InvocationStatus.REGISTERED


async def test_a_runner_without_queues_claims_from_all(make_app: MakeApp) -> None:
    app = make_app()

    @app.task
    async def quick() -> None:
        pass

    async with app, app.runner():
        for queue in ("default", "slow", "anything"):
            await (await quick.options(queue=queue)()).result(timeout=60)


async def test_options_are_merged(make_app: MakeApp) -> None:
    app = make_app()

    @app.task
    async def quick() -> None:
        pass

    async with app:
        await quick.options(queue="slow").options(idempotency_key="k").options(queue="fast")()
        (registered,) = await entries_of_type(app, InvocationRegistered)
    assert (registered.queue, registered.keyed, registered.not_before) == ("fast", True, None)
