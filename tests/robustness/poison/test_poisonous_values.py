"""Values that no log could keep are refused at once and lose nothing; all others are the same wherever one looks."""

import enum
import math
import sys
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.robustness.poison import poison_tasks
from tests.support.apps import MakeApp, on_sqlite
from tests.support.reading import entries, entries_of_type
from tests.support.tasks import task_of
from tests.support.waiting import wait_until
from trigger_engine import (
    EventContext,
    PayloadTooLarge,
    ResultContext,
    SerializationError,
    TaskFailed,
    TriggerBuilder,
    TriggerEngine,
)
from trigger_engine._audit.auditing import audit
from trigger_engine._client.connections import Connections
from trigger_engine._model.entries import EventEmitted, InvocationRegistered, TriggerFired, TriggerRejected

TEN_MEGABYTES = 10_000_000
LARGEST = {"MongoTrigger": 3_000_000}
"""What a backend can take, where that is less: one document has arguments and result."""


class Level(enum.Enum):
    LOW = "low"


@dataclass(frozen=True)
class Key:
    number: int = 1


def nested(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value


def cyclic() -> Any:
    value: dict[str, Any] = {}
    value["itself"] = value
    return value


NOWHERE: dict[str, Any] = {
    "a lone surrogate": "\ud800",
    "a key with a lone surrogate": {"\udfff": 1},
    "a number beyond 64 bits": 2**64,
    "a negative number beyond 64 bits": -(2**63) - 1,
    "a key beyond 64 bits": {2**64: 1},
    "an abyss": nested(100_000),
    "what contains itself": cyclic(),
    "an object": object(),
    "a key that is an object": {object(): 1},
    "a key that comes back as a mapping": {Key(): 1},
}
"""What neither a payload nor an argument can be."""

NO_PAYLOAD: dict[str, Any] = {
    "a naive datetime": datetime(2026, 1, 1),
    "a date": date(2026, 1, 1),
    "a set": {1},
    "a dataclass": Key(),
    "a key None": {None: 1},
    "a key True": {True: 1},
    "a key 1.5": {1.5: 1},
    "a key nan": {math.nan: 1},
    "a key of bytes": {b"a": 1},
    "a key that is a tuple": {(1, 2): 1},
    "a key that is a datetime": {datetime(2026, 1, 1, tzinfo=UTC): 1},
    "a key of an enum": {Level.LOW: 1},
}

KEYS: dict[Any, Any] = {
    None: None,
    True: True,
    -1: -1,
    2**64 - 1: 2**64 - 1,
    1.5: 1.5,
    math.inf: math.inf,
    "": "",
    "\0": "\0",
    b"\xff": b"\xff",
    (): (),
    (1, ("a",)): (1, ("a",)),
    frozenset({7}): (7,),
    uuid.UUID(int=5): str(uuid.UUID(int=5)),
    Decimal("2.5"): "2.5",
    datetime(2026, 1, 1, tzinfo=UTC): datetime(2026, 1, 1, tzinfo=UTC),
    date(2026, 1, 2): "2026-01-02",
    Level.LOW: "low",
}
"""Keys that an argument without an annotation may have, and what they come back as."""


def all_of(context: EventContext) -> dict[str, Any]:
    return {"value": context.payload["value"]}


def result_of(context: ResultContext) -> dict[str, Any]:
    return {"value": context.result}


def echoing(app: TriggerEngine) -> list[Any]:
    """Declares `echo`, which an event starts and which gives back what it got, and `note`, which gets that."""
    seen: list[Any] = []

    @app.task(task_id="echo", triggers=TriggerBuilder().on_event("given").with_args_from_event(all_of))
    def echo(value: Any) -> Any:
        return value

    @app.task(task_id="note", triggers=TriggerBuilder().on_any_result(echo).with_args_from_result(result_of))
    async def note(value: Any) -> None:
        seen.append(value)

    return seen


def same(one: Any, other: Any) -> bool:
    """Equality in which nan equals nan."""
    return repr(one) == repr(other)


async def assert_readable(app: TriggerEngine) -> None:
    """The history shows everything, and the log is consistent."""
    async with app.history() as history:
        events, invocations = await history.events(limit=1000), await history.invocations(limit=1000)
        assert len(events) == len(await entries_of_type(app, EventEmitted))
        registered = (InvocationRegistered, TriggerFired)
        assert len(invocations) == sum(isinstance(entry, registered) for entry in await entries(app))
        for event in events:
            await history.explain(event.event_id)
    report = await audit(app)
    assert report.consistent, report.violations


async def test_unstorable_values_are_refused_and_lose_nothing(make_app: MakeApp) -> None:
    app = make_app()
    seen = echoing(app)
    async with app:
        before = await app.emit_event("given", {"value": "before"})
        for name, value in NOWHERE.items():
            for refused in (lambda v: app.emit_event("given", {"value": v}), task_of(app, "echo")):
                with pytest.raises(SerializationError) as caught:
                    await refused(value)
                assert "given" in str(caught.value) or "task echo, argument value" in str(caught.value), name
        for value in NO_PAYLOAD.values():
            with pytest.raises(SerializationError, match="payload of event 'given', at "):
                await app.emit_events([("given", {"value": "beside"}), ("given", {"value": value})])
        after = await app.emit_event("given", {"value": "after"})
        assert [entry.id for entry in await entries(app)] == [before, after]
        async with app.runner():
            await wait_until(lambda: len(seen) == 2)
        assert sorted(seen) == ["after", "before"]
        await assert_readable(app)


async def test_mapping_keys_of_every_type_round_trip(make_app: MakeApp) -> None:
    app = make_app()
    echoing(app)
    async with app, app.runner():
        for key, back in KEYS.items():
            result = await (await task_of(app, "echo")({key: [{key: 1}]})).result(timeout=60)
            assert same(result, {back: [{back: 1}]}), key
        await wait_until(lambda: _ended(app, 2 * len(KEYS)))
        await assert_readable(app)


@pytest.mark.parametrize(
    "value",
    [
        math.nan,
        [math.inf, -math.inf, -0.0, 5e-324],
        [2**64 - 1, -(2**63)],
        {"": {"\0": b"\xff" * 1000}},
        {"a": {1: {"1": "both"}}},
        "\U0010ffff\u202e\x1b[31m" * 100,
        datetime(1, 1, 1, tzinfo=UTC),
    ],
    ids=repr,
)
async def test_odd_but_storable_values_round_trip_everywhere(make_app: MakeApp, value: Any) -> None:
    app = make_app()
    seen = echoing(app)
    async with app, app.runner():
        event_id = await app.emit_event("given", {"value": value})
        await wait_until(lambda: seen)
        assert same(seen, [value])
        async with app.history() as history:
            assert same((await history.event(event_id)).payload, {"value": value})
        await assert_readable(app)


async def test_deepest_accepted_value_can_be_read_everywhere(make_app: MakeApp) -> None:
    app = make_app()
    seen = echoing(app)
    async with app, app.runner():
        levels = await _deepest(lambda depth: app.emit_event("other", {"value": nested(depth)}))
        assert levels > 300
        await app.emit_event("given", {"value": nested(levels)})
        await wait_until(lambda: seen)
        assert seen == [nested(levels)]
        await assert_readable(app)


async def test_ten_megabytes_exceed_the_default_limit_everywhere(make_app: MakeApp) -> None:
    app = make_app()

    @app.task(task_id="take")
    async def take(value: Any) -> None: ...

    @app.task(task_id="give", run_in="thread")
    def give() -> str:
        return "x" * TEN_MEGABYTES

    @app.task(task_id="made", triggers=TriggerBuilder().on_event("make").with_args_from_event(_much))
    async def made(value: str) -> None: ...

    async with app, app.runner():
        limit = f"{app._internals.settings.max_payload_bytes:,} (max_payload_bytes)"
        with pytest.raises(PayloadTooLarge, match="payload of event 'given': takes 10,00") as caught:
            await app.emit_event("given", {"value": "x" * TEN_MEGABYTES})
        assert limit in str(caught.value)
        with pytest.raises(PayloadTooLarge, match="task take: its arguments take 10,00") as caught:
            await take(b"x" * TEN_MEGABYTES)
        assert limit in str(caught.value)
        with pytest.raises(TaskFailed, match="PayloadTooLarge: task give: its result takes 10,00"):
            await (await give()).result(timeout=60)
        await app.emit_event("make")
        (rejected,) = await wait_until(lambda: entries_of_type(app, TriggerRejected))
        assert rejected.error.startswith("PayloadTooLarge: arguments of 10,00")
        assert len(await entries_of_type(app, EventEmitted)) == 1
        await assert_readable(app)


async def test_large_text_passes_with_a_raised_limit(make_app: MakeApp) -> None:
    app = make_app(max_payload_bytes=20_000_000)
    await _passes(app, "x" * _largest(app))


async def test_large_list_passes_with_a_raised_limit(tmp_path: Path) -> None:
    # One backend is enough: all keep the same bytes.
    app = on_sqlite(tmp_path / "log.db", max_payload_bytes=20_000_000)
    await _passes(app, list(range(0, TEN_MEGABYTES, 5)))


async def _passes(app: TriggerEngine, value: Any) -> None:
    """A value comes from an event through two tasks, and is shown."""
    seen = echoing(app)
    async with app, app.runner():
        event_id = await app.emit_event("given", {"value": value})
        await wait_until(lambda: seen, deadline=60)
        assert seen == [value]
        async with app.history() as history:
            assert (await history.event(event_id)).payload == {"value": value}
            assert all(one.arguments == {"value": value} for one in await history.invocations())
        await assert_readable(app)


async def test_large_value_passes_to_a_child_process_and_back(
    make_app: MakeApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    fresh = make_app(app_id="poison")
    app = poison_tasks.app
    internals = app._internals
    monkeypatch.setattr(internals, "connections", Connections(fresh._internals.connections.backend, time.time))
    monkeypatch.setattr(internals, "config", internals.config)
    internals.override(max_payload_bytes=20_000_000)
    async with app, app.runner():
        value = "x" * _largest(app)
        assert await (await poison_tasks.echo(value)).result(timeout=60) == value


async def test_unreadable_stored_value_does_not_break_pages(make_app: MakeApp) -> None:
    app = make_app()
    seen = echoing(app)
    async with app:
        session = await app._internals.connections.session()
        damaged = msgspec.Raw(b"\x81\xa5value\x81\x80\x01")
        await session.append((EventEmitted(id="bad", time=1.0, event_code="given", payload=damaged),))
        async with app.runner() as runner:
            await app.emit_event("given", {"value": "good"})
            await wait_until(lambda: seen)
            assert runner.failed is None
        assert seen == ["good"]
        assert len(await entries_of_type(app, TriggerRejected)) == 1
        async with app.history() as history:
            good, bad = await history.events()
            assert good.payload == {"value": "good"}
            assert bad.payload.startswith("<unreadable: MessagePack data is malformed: map keys must be hashable")


def _largest(app: TriggerEngine) -> int:
    return LARGEST.get(app._internals.connections.backend.name, TEN_MEGABYTES)


def _much(context: EventContext) -> dict[str, Any]:
    return {"value": "x" * TEN_MEGABYTES}


async def _ended(app: TriggerEngine, count: int) -> bool:
    async with app.history() as history:
        overview = await history.overview()
        return overview.invocations.get("success", 0) == count  # type: ignore[call-overload, no-any-return]


async def _deepest(take: Callable[[int], Any]) -> int:
    """The greatest depth that is taken."""
    taken, refused = 1, sys.getrecursionlimit()
    while refused - taken > 1:
        middle = (taken + refused) // 2
        try:
            await take(middle)
        except SerializationError:
            refused = middle
        else:
            taken = middle
    return taken
