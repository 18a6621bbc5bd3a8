"""Values survive their encoding; those that would not are refused before anything is stored."""

from __future__ import annotations

import enum
import math
import sys
import uuid
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from types import MappingProxyType
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, Field, RootModel, computed_field

from trigger_engine._declare.values import Codec, encode_payload, type_name
from trigger_engine.errors import PayloadTooLarge, SerializationError

codec = Codec()


class Color(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Level(enum.StrEnum):
    LOW = "low"


@dataclass
class Line:
    sku: str
    price: Decimal
    tags: frozenset[str] = frozenset()


class Order(msgspec.Struct):
    id: uuid.UUID
    lines: list[Line]
    placed: datetime
    color: Color | None = None


class Address(BaseModel):
    model_config = ConfigDict(strict=True)
    street: str = Field(alias="Street")
    since: date
    code: bytes = b"\xff"
    ids: set[uuid.UUID] = set()
    span: timedelta = timedelta(seconds=3)
    price: Decimal = Field(default=Decimal("1.50"), validation_alias="PRICE", serialization_alias="Price")

    @computed_field  # type: ignore[prop-decorator]
    @property
    def label(self) -> str:
        return self.street.upper()


class Person(BaseModel):
    model_config = ConfigDict(extra="forbid")
    name: str
    address: Address | None = None
    others: list[Address] = []


class Numbers(RootModel[list[int]]):
    pass


@dataclass
class Shipment:
    to: Person
    weights: dict[str, float]


def round_trip(value: Any, type_: Any = Any, codec: Codec = codec) -> Any:
    return codec.decode(codec.encode(value, what="it"), type_, what="it")


def same(one: Any, other: Any) -> bool:
    """Equality that compares types, with nan equal to nan."""
    if type(one) is not type(other):
        return False
    if isinstance(one, float):
        return one == other or (math.isnan(one) and math.isnan(other))
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, dict):
        return list(one) == list(other) and all(same(one[key], other[key]) for key in one)
    return bool(one == other)


text = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
whole_numbers = st.integers(-(2**63), 2**64 - 1)
aware = st.datetimes(min_value=datetime(2, 1, 1), max_value=datetime(9998, 1, 1), timezones=st.just(UTC))
scalars = st.none() | st.booleans() | whole_numbers | st.floats() | text | st.binary(max_size=20) | aware
plain = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(text | st.integers(-9, 9), inner, max_size=4),
    max_leaves=20,
)
lines = st.builds(Line, sku=text, price=st.decimals(allow_nan=False), tags=st.frozensets(text, max_size=3))
orders = st.builds(
    Order, id=st.uuids(), lines=st.lists(lines, max_size=3), placed=aware, color=st.none() | st.sampled_from(Color)
)
addresses = st.builds(
    Address,
    Street=text,
    since=st.dates(),
    code=st.binary(max_size=5),
    ids=st.sets(st.uuids(), max_size=2),
    span=st.timedeltas(timedelta(days=-999), timedelta(days=999)),
    PRICE=st.decimals(allow_nan=False, allow_infinity=False, places=2),
)
people = st.builds(Person, name=text, address=st.none() | addresses, others=st.lists(addresses, max_size=2))
annotated: list[tuple[Any, st.SearchStrategy[Any]]] = [
    (Order, orders),
    (list[Order], st.lists(orders, max_size=3)),
    (dict[str, Line], st.dictionaries(text, lines, max_size=3)),
    (Person, people),
    (Person | None, st.none() | people),
    (list[Person], st.lists(people, max_size=2)),
    (dict[str, Person], st.dictionaries(text, people, max_size=2)),
    (Shipment, st.builds(Shipment, to=people, weights=st.dictionaries(text, st.floats(allow_nan=False), max_size=3))),
    (Numbers, st.builds(Numbers, st.lists(st.integers(-9, 9), max_size=3))),
    (set[int], st.sets(whole_numbers, max_size=5)),
    (tuple[int, str], st.tuples(whole_numbers, text)),
    (dict[int, date], st.dictionaries(st.integers(-9, 9), st.dates(), max_size=3)),
    (datetime, st.datetimes()),
    (time, st.times()),
    (timedelta, st.timedeltas()),
    (uuid.UUID, st.uuids()),
    (Decimal, st.decimals(allow_nan=False)),
    (Color, st.sampled_from(Color)),
]


@given(plain)
def test_builtins_and_aware_datetimes_are_restored_without_annotations(value: Any) -> None:
    assert same(round_trip(value), value)


@given(st.data())
@pytest.mark.parametrize(("type_", "values"), annotated, ids=[type_name(type_) for type_, _ in annotated])
def test_annotated_values_are_restored(type_: Any, values: st.SearchStrategy[Any], data: st.DataObject) -> None:
    value = data.draw(values)
    assert round_trip(value, type_) == value


@given(st.dictionaries(text, plain, max_size=5))
def test_payloads_are_restored(payload: dict[str, Any]) -> None:
    raw = encode_payload(payload, event_code="order.paid")
    assert same(codec.decode(raw, Any, what="payload"), payload)


@given(st.dictionaries(text, st.sets(text, max_size=5), max_size=5), st.randoms())
def test_canonical_forms_do_not_depend_on_order(value: dict[str, set[str]], random: Any) -> None:
    items = [(key, random.sample(sorted(names), len(names))) for key, names in value.items()]
    random.shuffle(items)
    shuffled = {key: set(names) for key, names in items}
    assert bytes(codec.encode(shuffled, what="it", canonical=True)) == bytes(
        codec.encode(value, what="it", canonical=True)
    )


def test_order_of_a_dict_is_kept() -> None:
    assert list(round_trip({"b": 1, "a": 2, "c": 3})) == ["b", "a", "c"]


def test_aware_datetime_is_restored_as_the_same_instant_in_utc() -> None:
    back = round_trip(datetime(2024, 7, 1, 12, 30, tzinfo=ZoneInfo("Europe/Berlin")))
    assert back == datetime(2024, 7, 1, 10, 30, tzinfo=UTC)
    assert back.tzinfo is UTC


class Name(str):
    __slots__ = ()


class Count(int):
    pass


class Ratio(float):
    pass


class Blob(bytes):
    pass


class Moment(datetime):
    pass


@pytest.mark.parametrize(
    "value", [Name("x"), Count(3), Ratio(1.5), Blob(b"x"), Moment(2024, 1, 1, tzinfo=UTC), Level.LOW, {Name("k"): 1}]
)
def test_subclasses_of_scalars_are_encoded_as_scalars(value: Any) -> None:
    back = round_trip(value)
    assert back == value
    assert type(back).__module__ in ("builtins", "datetime")


@pytest.mark.parametrize("value", [Name("x"), Count(3), Ratio(1.5), Blob(b"x")])
def test_subclasses_of_scalars_are_restored_if_annotated(value: Any) -> None:
    assert same(round_trip(value, type(value)), value)


def test_protocol_annotations_accept_builtins() -> None:
    assert round_trip([1, 2], Iterable[int]) == [1, 2]
    assert round_trip("a", Hashable) == "a"
    assert round_trip({"a": [1]}, dict[str, Iterable[int]]) == {"a": [1]}


@pytest.mark.parametrize("value", [OrderedDict(a=1), defaultdict(int, a=1)])
def test_subclasses_of_dict_are_encoded_as_mappings(value: Any) -> None:
    assert round_trip(value) == {"a": 1}


class Plain:
    pass


class Unwilling(BaseModel):
    it: Any = None


@dataclass(frozen=True)
class Key:
    number: int = 1


def cyclic() -> list[Any]:
    value: list[Any] = []
    value.append(value)
    return value


def nested(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value


CANNOT_BE_ENCODED: list[tuple[Any, str]] = [
    (Plain(), "Plain are not supported; pass builtins"),
    ([{"a": Plain()}], "Plain are not supported; pass builtins"),
    (Unwilling(it=Plain()), "Plain are not supported; pass builtins"),
    ((i for i in "ab"), "generator are not supported"),
    (2**64, "an int in it is beyond 64 bits: pass it as str"),
    (-(2**63) - 1, "an int in it is beyond 64 bits: pass it as str"),
    ("\ud800", "a str in it holds a lone surrogate, which is not text: pass bytes"),
    ({"\ud800": 1}, "a str in it holds a lone surrogate"),
    (cyclic(), "it is nested too deeply, or contains itself"),
    (nested(sys.getrecursionlimit() + 1), "it is nested too deeply, or contains itself"),
    (nested(sys.getrecursionlimit() - 100), "it is nested too deeply, or contains itself"),
    ({Key(): 1}, "a key in it would be decoded as a mapping, which cannot be a key: give keys that are strings"),
    ([{"a": {(1, Key()): "x" * 300}}], "a key in it would be decoded as a mapping"),
    ([msgspec.Raw(b"\xc1")], "MessagePack data is malformed"),
    (datetime.max.replace(tzinfo=timezone(timedelta(hours=-5))), "date value out of range"),
]


@pytest.mark.parametrize(("value", "reason"), CANNOT_BE_ENCODED, ids=range(len(CANNOT_BE_ENCODED)))
def test_unencodable_value_is_refused_with_place_type_and_fix(value: Any, reason: str) -> None:
    with pytest.raises(SerializationError) as caught:
        codec.encode(value, what="task tasks.source, argument x")
    message = str(caught.value)
    assert message.startswith(f"task tasks.source, argument x: a value of type {type_name(type(value))} cannot be")
    assert reason in message
    assert caught.value.__cause__ is not None


def test_encodable_value_can_be_decoded_with_less_free_stack() -> None:
    raw = codec.encode(nested(300), what="it")

    def read(frames: int) -> Any:
        return read(frames - 1) if frames else codec.decode(raw, Any, what="it")

    assert read(200) == nested(300)


def test_value_of_another_type_is_refused_with_place_and_type() -> None:
    raw = codec.encode({"sku": 1}, what="it")
    with pytest.raises(SerializationError, match=r"argument x: cannot be decoded as .*Line: Expected `str`, got `int`"):
        codec.decode(raw, Line, what="task tasks.f, argument x")


def test_invalid_model_is_refused_with_the_message_of_pydantic() -> None:
    raw = codec.encode({"name": "x", "age": 3}, what="it")
    with pytest.raises(SerializationError, match="Extra inputs are not permitted"):
        codec.decode(raw, Person, what="it")


def test_hooks_convert_custom_types() -> None:
    def enc_hook(value: Any) -> Any:
        if isinstance(value, complex):
            return [value.real, value.imag]
        raise NotImplementedError

    def dec_hook(kind: type, encoded: Any) -> Any:
        if kind is complex:
            return complex(*encoded)
        raise NotImplementedError

    hooked = Codec(enc_hook=enc_hook, dec_hook=dec_hook)
    assert round_trip(1 + 2j, complex, hooked) == 1 + 2j
    assert round_trip([1 + 2j], list[complex], hooked) == [1 + 2j]
    assert round_trip([Person(name="x")], list[Person], hooked) == [Person(name="x")]
    with pytest.raises(SerializationError, match="give TriggerEngine an enc_hook and a dec_hook"):
        hooked.encode(Plain(), what="it")
    with pytest.raises(SerializationError, match=r"there is no conversion to .*Plain; give TriggerEngine a dec_ho"):
        hooked.decode(hooked.encode(1, what="it"), Plain, what="it")


def test_error_in_a_hook_is_kept_as_the_cause() -> None:
    def enc_hook(value: Any) -> Any:
        raise LookupError("no such thing")

    with pytest.raises(SerializationError, match="no such thing") as caught:
        Codec(enc_hook=enc_hook).encode(Plain(), what="it")
    assert isinstance(caught.value.__cause__, LookupError)


def test_to_builtins_equals_decoding_without_annotations() -> None:
    line = Line("a", Decimal("1.5"), frozenset({"x"}))
    assert codec.to_builtins([line, (1, Color.BLUE)], what="it") == [
        {"sku": "a", "price": "1.5", "tags": ["x"]},
        [1, "blue"],
    ]


def test_missing_payload_is_an_empty_one() -> None:
    assert bytes(encode_payload(None, event_code="a")) == bytes(encode_payload({}, event_code="a")) == b"\x80"


@pytest.mark.parametrize(
    ("payload", "encoded"),
    [
        ({"a": (1, (2, 3))}, {"a": [1, [2, 3]]}),
        ({"a": Level.LOW, "b": Count(2), "c": Ratio(0.5)}, {"a": "low", "b": 2, "c": 0.5}),
        (MappingProxyType({"a": OrderedDict(b=1)}), {"a": {"b": 1}}),
        ({Level.LOW: bytearray(b"x")}, {"low": b"x"}),
        ({"a": {1: "x"}}, {"a": {1: "x"}}),
        ({"a": Moment(2024, 1, 1, tzinfo=ZoneInfo("Asia/Tokyo"))}, {"a": datetime(2023, 12, 31, 15, tzinfo=UTC)}),
    ],
)
def test_payloads_accept_all_msgpack_types(payload: Any, encoded: Any) -> None:
    assert same(codec.decode(encode_payload(payload, event_code="a"), Any, what="it"), encoded)


CANNOT_BE_A_PAYLOAD: list[tuple[Any, str]] = [
    ([1], "payload of event 'order.paid': is of type list: give a mapping, or None for an empty one"),
    ("text", "is of type str: give a mapping"),
    ({1: 2}, "key 1 is of type int: give string keys"),
    ({"a": {None: 2}}, "at ['a']: key None is of type NoneType: give keys that are strings or integers"),
    ({"a": {True: 2}}, "key True is of type bool"),
    ({"a": [{"b": datetime(2024, 5, 6, 7)}]}, "at ['a'][0]['b']: 2024-05-06T07:00:00 is a naive datetime: give it a "),
    ({"a": date(2024, 5, 6)}, "at ['a']: a payload cannot hold values of type datetime.date: give None, bool"),
    ({"a": {1, 2}}, "a payload cannot hold values of type set"),
    ({"a": uuid.uuid4()}, "a payload cannot hold values of type uuid.UUID"),
    ({"a": Decimal(1)}, "a payload cannot hold values of type decimal.Decimal"),
    ({"a": Color.RED}, "a payload cannot hold values of type"),
    ({"a": Line("x", Decimal(1))}, "a payload cannot hold values of type"),
    ({"a": Person(name="x")}, "a payload cannot hold values of type"),
    ({"a": 2**64}, "payload of event 'order.paid': cannot be encoded: an int in it is beyond 64 bits"),
    ({"a": "\ud800"}, "a str in it holds a lone surrogate"),
    ({"a": cyclic()}, "it is nested too deeply, or contains itself"),
    ({"a": nested(sys.getrecursionlimit() - 300)}, "it is nested too deeply, or contains itself"),
]


@pytest.mark.parametrize(("payload", "reason"), CANNOT_BE_A_PAYLOAD, ids=range(len(CANNOT_BE_A_PAYLOAD)))
def test_invalid_payload_is_refused_with_event_place_and_fix(payload: Any, reason: str) -> None:
    with pytest.raises(SerializationError) as caught:
        encode_payload(payload, event_code="order.paid")
    assert str(caught.value).startswith("payload of event 'order.paid'")
    assert reason in str(caught.value)


def test_payload_over_the_limit_is_refused_with_both_sizes() -> None:
    assert encode_payload({"a": "x" * 96}, event_code="a", max_bytes=101)
    with pytest.raises(PayloadTooLarge, match=r"payload of event 'a': takes 102 bytes encoded, the limit is 101"):
        encode_payload({"a": "x" * 97}, event_code="a", max_bytes=101)


@pytest.mark.parametrize(
    ("type_", "name"),
    [(int, "int"), (list[int], "list[int]"), (int | None, "int | None"), (Any, "Any"), (Callable, "Callable")],
)
def test_types_are_named_as_in_source_code(type_: Any, name: str) -> None:
    assert name in type_name(type_)
