"""Events: what is emitted, by whom, from where, and that none is lost."""

import asyncio
import gc
import threading
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.acceptance.driving import driven
from tests.support.apps import MakeApp
from trigger_engine import (
    Event,
    EventContext,
    PayloadTooLarge,
    SerializationError,
    SyncInAsyncError,
    TriggerBuilder,
)


def user_of(ctx: EventContext) -> dict[str, Any]:
    return {"name": ctx.payload.get("name"), "at": ctx.payload.get("at")}


def source_of(ctx: EventContext) -> dict[str, Any]:
    return {
        "event_id": ctx.event_id,
        "emitter": [ctx.emitter_task_id, ctx.emitter_invocation_id],
        "code": ctx.event_code,
        "at": ctx.timestamp,
    }


async def test_an_event_starts_the_tasks_that_wait_for_its_code(make_app: MakeApp) -> None:
    app = make_app()

    @app.task(triggers=TriggerBuilder().on_event("user.login"))
    async def count_login() -> str:
        return "counted"

    @app.task(triggers=TriggerBuilder().on_event("user.login", payload_filter={"role": "admin"}))
    def notify() -> str:
        return "an admin is here"

    @app.task(triggers=TriggerBuilder().on_event("user.login").with_args_from_event(user_of))
    async def record(name: str | None, at: datetime | None) -> str:
        return f"{name} at {at}"

    async with driven(app) as happened:
        noon = datetime(2026, 6, 1, 12, tzinfo=UTC)
        first = await app.emit_event("user.login", {"name": "Ada", "at": noon, "role": "admin"})
        second = await app.trigger.emit_event("user.login", {"name": "Bob"})
        await app.emit_event("user.logout", {"name": "Ada", "role": "admin"})
        await app.emit_event("user.login.failed", {"name": "Eve"})
        await app.emit_event("user.login")
        await happened.settle()
        assert [await happened.count(task) for task in (count_login, notify)] == [3, 1]
        assert await happened.calls(record) == [
            {"name": "Ada", "at": noon},
            {"name": "Bob", "at": None},
            {"name": None, "at": None},
        ]
    assert first != second


async def test_event_context_has_the_event_and_its_time(make_app: MakeApp) -> None:
    app = make_app()

    @app.task(triggers=TriggerBuilder().on_event("a").with_args_from_event(source_of))
    async def note(event_id: str, emitter: list[str | None], code: str, at: datetime) -> None:
        pass

    async with driven(app) as happened:
        event_id = await app.emit_event("a")
        await happened.settle()
        (call,) = await happened.calls(note)
    assert abs(call.pop("at") - datetime.now(UTC)) < timedelta(seconds=10)
    assert call == {"event_id": event_id, "emitter": [None, None], "code": "a"}


@pytest.mark.parametrize("kind", ["async", "def"])
async def test_an_event_emitted_inside_a_task_has_it_as_emitter(make_app: MakeApp, kind: str) -> None:
    app = make_app()

    async def emits_awaiting() -> str:
        return await app.emit_event("loaf.baked", {"kilos": 2})

    def emits_from_a_thread() -> str:
        assert threading.current_thread() is not threading.main_thread()
        return app.sync.emit_event("loaf.baked", {"kilos": 2})

    bake: Any = app.task(emits_awaiting if kind == "async" else emits_from_a_thread)

    @app.task(triggers=TriggerBuilder().on_event("loaf.baked", {"kilos": 2}).with_args_from_event(source_of))
    async def note(event_id: str, emitter: list[str | None], code: str, at: datetime) -> None:
        pass

    async with driven(app) as happened:
        invocation = await bake()
        await happened.settle()
        (call,) = await happened.calls(note)
        emitter = [bake.task_id, invocation.invocation_id]
        assert call["event_id"] == await invocation.result()
        assert call["emitter"] == emitter
        record = await happened.history.event(call["event_id"])
        assert [record.emitter_task_id, record.emitter_invocation_id] == emitter


async def test_unmatched_event_is_kept_and_can_be_read(make_app: MakeApp) -> None:
    app = make_app()

    @app.task(triggers=TriggerBuilder().on_event("other"))
    async def note() -> None:
        pass

    async with driven(app) as happened:
        payload = {"text": "nobody listens", "numbers": [1, 2.5, None, True], "at": datetime(2026, 1, 1, tzinfo=UTC)}
        event_id = await app.emit_event("lonely", payload)
        await happened.settle()
        record = await happened.history.event(event_id)
        assert (record.event_code, record.payload) == ("lonely", payload)
        assert (record.valid_condition_ids, record.matched, record.triggered) == ((), False, False)
        assert await happened.runs() == []


async def test_several_events_are_one_write_with_their_ids_in_order(make_app: MakeApp) -> None:
    app = make_app()

    @app.task(triggers=TriggerBuilder().on_event("a").with_args_from_event(user_of))
    async def note(name: str | None, at: datetime | None) -> None:
        pass

    async with driven(app) as happened:
        ids = await app.emit_events([Event("a", {"name": "Ada"}), ("b", {"name": "Bob"}), ("a", None), Event("c")])
        await happened.settle()
        codes = [(await happened.history.event(event_id)).event_code for event_id in ids]
        assert codes == ["a", "b", "a", "c"]
        assert [call["name"] for call in await happened.calls(note)] == ["Ada", None]
        assert await app.emit_events([]) == []
        with pytest.raises(SerializationError, match=r"'a', at \['x'\]: a payload cannot hold values of type object"):
            await app.emit_events([("a", {"name": "Eve"}), ("a", {"x": object()})])
        await happened.settle()
        assert await happened.count(note) == 2, "all of them or none"


async def test_first_event_with_an_idempotency_key_wins(make_app: MakeApp) -> None:
    app = make_app()

    @app.task(triggers=TriggerBuilder().on_event("paid").with_args_from_event(user_of))
    async def note(name: str | None, at: datetime | None) -> None:
        pass

    async with driven(app) as happened:
        ids = [await app.emit_event("paid", {"name": name}, idempotency_key="order-42") for name in ("Ada", "Bob")]
        ids += await app.emit_events([Event("paid", {"name": "Eve"}, "order-42")])
        assert len(set(ids)) == 1
        others = {
            await app.emit_event("paid", {"name": "Mel"}, idempotency_key="order-43"),
            await app.emit_event("sent", {"name": "Mel"}, idempotency_key="order-42"),
        }
        assert len(others | set(ids)) == 3
        await happened.settle()
        assert [call["name"] for call in await happened.calls(note)] == ["Ada", "Mel"]


async def test_events_pass_from_task_to_task(make_app: MakeApp) -> None:
    app = make_app()

    @app.task(triggers=TriggerBuilder().on_event("ordered"))
    async def bake() -> None:
        await app.emit_events([("baked", {"name": name}) for name in ("rye", "oat")])

    @app.task(triggers=TriggerBuilder().on_event("baked").with_args_from_event(user_of))
    def pack(name: str, at: datetime | None) -> None:
        app.sync.emit_event("packed", {"name": name})

    @app.task(triggers=TriggerBuilder().on_event("packed").with_args_from_event(user_of))
    async def send(name: str, at: datetime | None) -> None:
        pass

    async with driven(app) as happened:
        await app.emit_event("ordered")
        await happened.settle()
        assert sorted(call["name"] for call in await happened.calls(send)) == ["oat", "rye"]


async def test_code_without_an_event_loop_emits_and_calls(make_app: MakeApp) -> None:
    app = make_app()

    @app.task(triggers=TriggerBuilder().on_event("a").with_args_from_event(user_of))
    async def note(name: str, at: datetime | None) -> str:
        return name

    def program() -> tuple[str, list[str], str]:
        event_id = app.sync.emit_event("a", {"name": "Ada"})
        ids = app.sync.emit_events([("a", {"name": "Bob"}), Event("b")])
        return event_id, ids, app.sync.enqueue(note, name="Eve", at=None).result(timeout=60)

    async with driven(app) as happened:
        event_id, ids, result = await asyncio.to_thread(program)
        assert result == "Eve"
        await happened.settle()
        assert sorted(call["name"] for call in await happened.calls(note)) == ["Ada", "Bob", "Eve"]
        assert [(await happened.history.event(one)).event_code for one in (event_id, *ids)] == ["a", "a", "b"]
        with pytest.raises(SyncInAsyncError, match="await the call on the app itself"):
            app.sync.emit_event("a")


NO_EVENTS: list[tuple[Any, Any, str]] = [
    ("", {}, "event code '': give a non-empty string"),
    (5, {}, "event code 5"),
    ("a\ud800", {}, "event code"),
    ("a", [1], "payload of event 'a': is of type list: give a mapping"),
    ("a", {1: 2}, "payload of event 'a': key 1 is of type int: give string keys"),
    ("a", {"x": {"y": {3}}}, r"payload of event 'a', at \['x'\]\['y'\]: a payload cannot hold values of type set"),
    ("a", {"x": datetime(2026, 1, 1)}, "naive datetime: give it a timezone"),
    ("a", {"x": 2**70}, "beyond 64 bits"),
    ("a", {"x": "\ud800"}, "surrogate"),
]
NO_LISTS: list[tuple[Any, str]] = [
    ("a", "emit_events takes a list of events, not 'a'"),
    (Event("a"), "emit_events takes a list of events"),
    (None, "emit_events takes a list of events"),
    (["a"], "'a' is not an event: give Event"),
    ([("a", {}, "key", 1)], "is not an event"),
    ([{"event_code": "a"}], "is not an event"),
    ([Event("a", {}, "")], "idempotency key '': give a non-empty string"),
    ([("a", {}, 5)], "idempotency key 5"),
]


async def test_invalid_events_are_refused_and_not_stored(make_app: MakeApp) -> None:
    app = make_app()
    async with app, app.history() as history:
        for code, payload, error in NO_EVENTS:
            with pytest.raises(SerializationError, match=error):
                await app.emit_event(code, payload)
            with pytest.raises(SerializationError, match=error):
                await app.emit_events([("fine", {}), (code, payload)])
        for events, error in NO_LISTS:
            with pytest.raises(SerializationError, match=error):
                await app.emit_events(events)
        assert not await history.events()


async def test_a_payload_over_the_limit_is_refused(make_app: MakeApp) -> None:
    app = make_app(max_payload_bytes=100)
    async with app:
        with pytest.raises(PayloadTooLarge, match=r"payload of event 'a': takes 10\d bytes .* the limit is 100"):
            await app.emit_event("a", {"text": "x" * 95})
        await app.emit_event("a", {"text": "x" * 80})


@pytest.mark.parametrize("what", ["emit_event", "Task.__call__", "TaskCall.__call__"])
async def test_a_forgotten_await_warns(make_app: MakeApp, what: str) -> None:
    app = make_app()

    @app.task
    async def work() -> None:
        pass

    def forget() -> None:
        calls: dict[str, Any] = {"emit_event": lambda: app.emit_event("a"), "Task.__call__": work}
        calls.get(what, work.options(delay=1))()
        gc.collect()

    async with app:
        with pytest.warns(RuntimeWarning, match=rf"coroutine '.*{what}' was never awaited"):
            forget()
