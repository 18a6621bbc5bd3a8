"""Filters on arguments, results and payloads: mappings, functions, and plain values."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from enum import Enum
from typing import Any
from uuid import UUID

import msgspec
import pytest

from tests.acceptance.driving import driven
from tests.support.apps import MakeApp
from tests.support.reading import entries_of_type
from trigger_engine import TriggerBuilder
from trigger_engine._model.entries import FilterFailed

NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)
NOON_ELSEWHERE = datetime(2026, 6, 1, 17, 30, tzinfo=timezone(timedelta(hours=5, minutes=30)))


class State(Enum):
    PACKED = "packed"
    SENT = "sent"


@dataclass
class Address:
    city: str
    lines: list[str] = field(default_factory=list)


@dataclass
class Parcel:
    number: int
    to: Address
    state: State
    packed_at: datetime


class Label(msgspec.Struct):
    number: int
    state: State


A_PARCEL = Parcel(7, Address("Oulu", ["Street 1"]), State.PACKED, NOON)


def is_expensive(arguments: dict[str, Any]) -> bool:
    return bool(arguments.get("price", 0) > 1000.0)


def goes_to_oulu(arguments: dict[str, Any]) -> bool:
    parcel = arguments["parcel"]
    return isinstance(parcel, Parcel) and parcel.to.city == "Oulu"


def is_packed(parcel: Parcel) -> bool:
    return parcel.state is State.PACKED and parcel.packed_at.tzinfo is not None


def needs_approval(result: dict[str, Any]) -> bool:
    return bool(result["price"] > 5000.0)


def from_admin(payload: dict[str, Any]) -> bool:
    return bool(payload["role"] == "admin" and payload["at"] > NOON)


def broken(payload: dict[str, Any]) -> bool:
    raise LookupError("not here")


async def test_filter_matches_given_arguments(make_app: MakeApp) -> None:
    app = make_app()

    @app.task
    async def order(number: str, price: float, speed: str = "normal") -> None:
        pass

    @app.task(triggers=TriggerBuilder().on_status(order, call_arguments={"speed": "high"}))
    async def hurry() -> None:
        pass

    @app.task(triggers=TriggerBuilder().on_status(order, call_arguments={"speed": "normal"}))
    async def take_your_time() -> None:
        pass

    @app.task(triggers=TriggerBuilder().on_status(order, call_arguments={"speed": "high", "number": "b"}))
    async def hurry_with_b() -> None:
        pass

    @app.task(triggers=TriggerBuilder().on_status(order, call_arguments={"speed": None}))
    async def never() -> None:
        pass

    async with driven(app) as happened:
        await order("a", 50.0)
        await order("b", 50.0, "high")
        await order(number="c", speed="high", price=50)
        await order("d", 50.0, speed="HIGH")
        await happened.settle()
        counts = [await happened.count(task) for task in (hurry, take_your_time, hurry_with_b, never)]
    assert counts == [2, 1, 1, 0], "defaults count, positions do not matter, case does"


async def test_filter_function_evaluates_arguments(make_app: MakeApp) -> None:
    app = make_app()

    @app.task
    async def order(number: str, price: float) -> dict[str, Any]:
        return {"number": number, "state": "completed", "price": price}

    @app.task(triggers=TriggerBuilder().on_status(order, call_arguments=is_expensive))
    async def insure() -> None:
        pass

    @app.task(triggers=TriggerBuilder().on_result(order, filter_result={"state": "completed"}))
    async def log() -> None:
        pass

    @app.task(triggers=TriggerBuilder().on_result(order, filter_result=needs_approval))
    async def ask_the_manager() -> None:
        pass

    @app.task(triggers=TriggerBuilder().on_result(order, needs_approval, call_arguments={"number": "e"}))
    async def ask_about_e() -> None:
        pass

    async with driven(app) as happened:
        for number, price in (("a", 50), ("b", 1000.0), ("c", 1000.5), ("d", 6000.0), ("e", 7000.0)):
            await order(number, price)
        await happened.settle()
        counts = [await happened.count(task) for task in (insure, log, ask_the_manager, ask_about_e)]
    assert counts == [3, 5, 2, 1]


async def test_filter_functions_get_values_of_the_annotated_types(make_app: MakeApp) -> None:
    app = make_app()

    @app.task
    async def pack(parcel: Parcel) -> Parcel:
        return parcel

    @app.task(triggers=TriggerBuilder().on_status(pack, call_arguments=goes_to_oulu))
    async def take_the_train() -> None:
        pass

    @app.task(triggers=TriggerBuilder().on_result(pack, is_packed))
    async def load() -> None:
        pass

    async with driven(app) as happened:
        await pack(A_PARCEL)
        await pack(Parcel(8, Address("Turku"), State.SENT, NOON))
        await happened.settle()
        assert [await happened.count(task) for task in (take_the_train, load)] == [1, 1]


NESTED: list[tuple[dict[str, Any], bool]] = [
    ({"parcel": {"to": {"city": "Oulu"}}}, True),
    ({"parcel": {"to": {"city": "Turku"}}}, False),
    ({"parcel": {"to": {"city": "Oulu", "lines": ["Street 1"]}}}, True),
    ({"parcel": {"to": {"lines": []}}}, False),
    ({"parcel": {"to": Address("Oulu", ["Street 1"])}}, True),
    ({"parcel": {"to": Address("Oulu")}}, False),
    ({"parcel": A_PARCEL}, True),
    ({"parcel": {"state": State.PACKED}}, True),
    ({"parcel": {"state": "packed"}}, True),
    ({"parcel": {"state": State.SENT}}, False),
    ({"parcel": {"packed_at": NOON_ELSEWHERE}}, True),
    ({"parcel": {"packed_at": NOON + timedelta(microseconds=1)}}, False),
    ({"parcel": {"number": 7.0, "state": State.PACKED}}, True),
    ({"parcel": {"weight": None}}, False),
    ({"parcel": {}}, True),
    ({"parcel": None}, False),
    ({}, True),
]


async def test_filter_mapping_matches_nested_values(make_app: MakeApp) -> None:
    app = make_app()
    reacted: list[int] = []

    @app.task
    async def pack(parcel: Parcel) -> None:
        pass

    for place, (wanted, _) in enumerate(NESTED):

        @app.task(
            task_id=f"react.{place}",
            triggers=TriggerBuilder().on_status(pack, call_arguments=wanted).with_args_static({"place": place}),
        )
        async def react(place: int) -> None:
            reacted.append(place)

    async with driven(app) as happened:
        await pack(A_PARCEL)
        await happened.settle()
    assert sorted(reacted) == [place for place, (_, is_met) in enumerate(NESTED) if is_met]


EQUAL = [
    (2.5, 2.5),
    (2, 2.0),
    (0, -0.0),
    (float("nan"), float("nan")),
    (10**15, 1e15),
    (True, True),
    (None, None),
    ("", ""),
    ("Zürich", "Zürich"),
    (b"\x00", b"\x00"),
    ([1, [2, 3]], [1.0, [2, 3]]),
    ((1, 2), [1, 2]),
    ([], []),
    (State.SENT, State.SENT),
    (State.SENT, "sent"),
    (NOON, NOON_ELSEWHERE),
    (Decimal("1.50"), Decimal("1.50")),
    (UUID(int=5), UUID(int=5)),
    (timedelta(hours=1), timedelta(minutes=60)),
    (A_PARCEL, A_PARCEL),
    (Label(1, State.SENT), Label(1, State.SENT)),
    (Label(1, State.SENT), {"number": 1}),
    ({"a": {"b": 1, "c": 2}, "d": 3}, {"a": {"b": 1}}),
    ({"a": 1}, {}),
    ([{"a": 1}], [{"a": 1}]),
    ({1, 2}, {2, 1}),
]
UNEQUAL: list[tuple[Any, Any]] = [
    (2.5, 2.4999),
    (1, True),
    (False, 0),
    (0, None),
    ("2.5", 2.5),
    ("a", "A"),
    ("", None),
    ([1, 2], [2, 1]),
    ([1, 2], [1]),
    ([], None),
    ([], {}),
    (State.SENT, State.PACKED),
    (NOON, NOON + timedelta(seconds=1)),
    (A_PARCEL, Parcel(7, Address("Oulu"), State.PACKED, NOON)),
    ({"a": 1}, {"a": 1, "b": 2}),
    ({"a": {"b": 1}}, {"a": {"b": 1, "c": None}}),
    ({"a": 1}, {"A": 1}),
    ({"a": True}, {"a": 1}),
    ([{"a": 1, "b": 2}], [{"a": 1}]),
    ("text", {"a": 1}),
    (None, {}),
]


@pytest.mark.parametrize(("pairs", "is_met"), [(EQUAL, True), (UNEQUAL, False)])
async def test_results_are_compared_by_value(make_app: MakeApp, pairs: list[tuple[Any, Any]], is_met: bool) -> None:
    app = make_app()
    reacted: list[int] = []
    works = []
    for place, (result, wanted) in enumerate(pairs):

        @app.task(task_id=f"work.{place}")
        async def work(result: Any = result) -> Any:
            return result

        @app.task(
            task_id=f"react.{place}",
            triggers=TriggerBuilder().on_result(work, filter_result=wanted).with_args_static({"place": place}),
        )
        async def react(place: int) -> None:
            reacted.append(place)

        works.append(work)

    async with driven(app) as happened:
        for work in works:
            await work()
        await happened.settle()
        assert await happened.rejected() == []
        assert {one.status for one in await happened.invocations()} == {"success"}
    assert sorted(reacted) == (list(range(len(pairs))) if is_met else [])


async def test_payload_filter_is_a_mapping_or_a_function(make_app: MakeApp) -> None:
    app = make_app()

    @app.task(triggers=TriggerBuilder().on_event("login", payload_filter={"role": "admin"}))
    async def any_admin() -> None:
        pass

    @app.task(triggers=TriggerBuilder().on_event("login", {"who": {"team": {"name": "ops"}}}))
    async def team_of_operators() -> None:
        pass

    @app.task(triggers=TriggerBuilder().on_event("login", {"at": NOON_ELSEWHERE}))
    async def at_noon() -> None:
        pass

    @app.task(triggers=TriggerBuilder().on_event("login", from_admin))
    async def admin_in_the_afternoon() -> None:
        pass

    @app.task(triggers=TriggerBuilder().on_event("login"))
    async def anyone() -> None:
        pass

    payloads: list[dict[str, Any] | None] = [
        {"role": "admin", "at": NOON},
        {"role": "admin", "at": NOON + timedelta(hours=1), "who": {"team": {"name": "ops", "size": 3}, "id": 1}},
        {"role": ["admin"], "at": None},
        {"role": {"admin": 1}},
        {"Role": "admin"},
        {"who": {"team": "ops"}},
        {},
        None,
    ]
    async with driven(app) as happened:
        await app.emit_events([("login", payload) for payload in payloads])
        await app.emit_event("Login", {"role": "admin"})
        await happened.settle()
        tasks = (any_admin, team_of_operators, at_noon, admin_in_the_afternoon, anyone)
        assert [await happened.count(task) for task in tasks] == [2, 1, 1, 1, 8]


async def test_raising_filter_does_not_match_and_is_recorded(make_app: MakeApp) -> None:
    app = make_app()

    @app.task(triggers=TriggerBuilder().on_event("login", broken))
    async def never() -> None:
        pass

    @app.task(triggers=TriggerBuilder().on_event("login", from_admin))
    async def admin_in_the_afternoon() -> None:
        pass

    async with driven(app) as happened:
        event_id = await app.emit_event("login", {"name": "Ada"})
        await happened.settle()
        assert await happened.runs() == []
        failures = await entries_of_type(app, FilterFailed)
        assert {failure.entry_id for failure in failures} == {event_id}
        assert sorted(failure.error for failure in failures) == ["KeyError: 'role'", "LookupError: not here"]
        record = await happened.history.event(event_id)
        assert (len(record.valid_condition_ids), record.matched_condition_ids) == (2, ())


async def test_the_same_filter_serves_many_triggers(make_app: MakeApp) -> None:
    app = make_app()
    tasks = []
    for number in range(5):

        @app.task(task_id=f"react.{number}", triggers=TriggerBuilder().on_event(f"login.{number % 2}", from_admin))
        async def react() -> None:
            pass

        tasks.append(react)

    async with driven(app) as happened:
        await app.emit_event("login.0", {"role": "admin", "at": NOON + timedelta(1)})
        await app.emit_event("login.1", {"role": "guest", "at": NOON + timedelta(1)})
        await happened.settle()
        assert [await happened.count(task) for task in tasks] == [1, 0, 1, 0, 1]
