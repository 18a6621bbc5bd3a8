"""Filters: which values are equal, and what a mapping filter requires."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.engine.declaring import on_any_result, on_cron, on_event, on_exception, on_result, on_status, raw
from tests.unit.engine.oracle import holds, same
from tests.unit.engine.strategies import values
from trigger_engine._engine.filters import UNREADABLE, decode, filters_by_subject, freeze, passes, requirements
from trigger_engine._model.definitions import CallableFilter, Condition, EqualsFilter, MappingFilter

NOON = datetime(2024, 1, 1, 12, tzinfo=UTC)


def equals(value: Any) -> EqualsFilter:
    return EqualsFilter(value=raw(value))


def mapping(value: Any) -> MappingFilter:
    return MappingFilter(value=raw(value))


def stored(value: Any) -> Any:
    """A value after encoding and decoding."""
    return decode(raw(value))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (1, 1.0),
        (0, -0.0),
        (math.nan, math.nan),
        ([1, [math.nan]], (1.0, [math.nan])),
        ({"a": 1, "b": 2}, {"b": 2.0, "a": 1}),
        (NOON, NOON.astimezone(timezone(timedelta(hours=5)))),
        (b"x", bytearray(b"x")),
        ({1: "a"}, {1.0: "a"}),
        (None, None),
        ("", ""),
        (2**63, 2**63),
        (msgspec.msgpack.Ext(5, b"x"), msgspec.msgpack.Ext(5, b"x")),
    ],
)
def test_these_are_equal(one: Any, other: Any) -> None:
    assert passes(equals(one), stored(other))
    assert passes(equals(other), stored(one))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (1, True),
        (0, False),
        (0, None),
        ("", None),
        ("1", 1),
        ("x", b"x"),
        ([], {}),
        ([1], [1, 1]),
        ([[1], 2], [1, [2]]),
        ([True], [1]),
        ({"a": 1}, {"a": True}),
        ({"a": 1}, {"a": 1, "b": 2}),
        ({True: 1}, {1: 1}),
        ({"1": 1}, {1: 1}),
        (math.nan, None),
        (["nan"], [math.nan]),
        (["bool", True], True),
        (2**53 + 1, float(2**53)),
        (NOON, NOON.isoformat()),
        (NOON, NOON + timedelta(microseconds=1)),
        (msgspec.msgpack.Ext(5, b"x"), b"x"),
        (msgspec.msgpack.Ext(5, b"x"), msgspec.msgpack.Ext(6, b"x")),
    ],
)
def test_these_differ(one: Any, other: Any) -> None:
    assert not passes(equals(one), stored(other))
    assert not passes(equals(other), stored(one))


@pytest.mark.parametrize(
    ("wanted", "value"),
    [
        ({}, {}),
        ({}, {"a": 1}),
        ({"a": 1}, {"a": 1.0, "b": 2}),
        ({"a": {"b": 1}}, {"a": {"b": 1, "c": 2}, "d": 3}),
        ({"a": {}}, {"a": {"b": 1}}),
        ({"a": None}, {"a": None}),
        ({"a": [1, {"b": 2}]}, {"a": [1, {"b": 2}]}),
        ({1: "x"}, {1: "x"}),
        ({1: "x"}, {1.0: "x"}),
        ({None: {True: 1}}, {None: {True: 1, "b": 2}}),
    ],
)
def test_mapping_filter_passes_a_value_that_holds_it(wanted: Any, value: Any) -> None:
    assert passes(mapping(wanted), stored(value))


@pytest.mark.parametrize(
    ("wanted", "value"),
    [
        ({}, None),
        ({}, []),
        ({"a": 1}, {}),
        ({"a": 1}, {"a": 2}),
        ({"a": None}, {}),
        ({"a": {"b": 1}}, {"a": 1}),
        ({"a": {"b": 1}}, {"a": {"c": 1}}),
        ({"a": {}}, {"a": 1}),
        ({"a": {}}, {"b": {}}),
        ({"a": [{"b": 2}]}, {"a": [{"b": 2, "c": 3}]}),
        ({1: "x"}, {True: "x"}),
        ({True: "x"}, {1: "x"}),
        ({"a": 1}, [["a", 1]]),
    ],
)
def test_mapping_filter_passes_nothing_else(wanted: Any, value: Any) -> None:
    assert not passes(mapping(wanted), stored(value))


def test_mapping_filter_without_a_mapping_requires_equality() -> None:
    assert passes(mapping([1]), [1.0])
    assert not passes(mapping([1]), [1, 2])


def test_only_equality_filters_have_requirements() -> None:
    assert requirements(None) == requirements(CallableFilter(name="m.f", code="1")) == ()
    assert requirements(mapping({"a": {"b": 1, "c": {}}, "d": [2]})) == (
        (("a", "b"), 1),
        (("a", "c"), ("any mapping",)),
        (("d",), ("list", 2)),
    )


@pytest.mark.parametrize(
    "data",
    [b"", b"\xc1", b"\xa2\xff\xfe", b"\x91" * 100_000 + b"\xc0", b"\xd7\xff" + b"\xff" * 8, b"\x81\x80\x01"],
    ids=["empty", "reserved", "utf-8", "deep", "time", "mapping as key"],
)
def test_unreadable_value_raises_only_the_documented_errors(data: bytes) -> None:
    with pytest.raises(UNREADABLE):
        decode(msgspec.Raw(data))


@pytest.mark.parametrize(
    ("condition", "subjects"),
    [
        (on_cron("* * * * *"), []),
        (on_event("a"), []),
        (on_event("a", {"k": 1}), ["payload"]),
        (on_status("m.f", "running", arguments={"k": 1}), ["arguments"]),
        (on_any_result("m.f", "?truthy"), ["arguments"]),
        (on_exception("m.f", arguments={"k": 1}), ["arguments"]),
        (on_result("m.f", 1), ["result"]),
        (on_result("m.f", 1, {"k": 1}), ["arguments", "result"]),
    ],
)
def test_each_filter_reads_its_field_of_the_entry(condition: Condition, subjects: list[str]) -> None:
    assert [subject for subject, _ in filters_by_subject(condition)] == subjects


@given(values, values)
def test_frozen_forms_are_equal_exactly_when_the_values_are(one: Any, other: Any) -> None:
    one, other = stored(one), stored(other)
    assert (freeze(one) == freeze(other)) is same(one, other)
    assert passes(equals(one), other) is same(one, other)


@given(st.dictionaries(st.sampled_from(["k", "l", 0, True]), values, max_size=3), values)
def test_mapping_filter_agrees_with_the_oracle(wanted: dict[Any, Any], value: Any) -> None:
    wanted, value = stored(wanted), stored(value)
    assert passes(mapping(wanted), value) is holds(value, wanted)


@given(values, st.data())
def test_every_part_of_a_value_passes_as_mapping_filter(value: Any, data: st.DataObject) -> None:
    value = stored(value)
    if isinstance(value, dict) and value:
        part = {key: value[key] for key in data.draw(st.sets(st.sampled_from(list(value))))}
        assert passes(mapping(part), value)
    assert freeze(value) == freeze(stored(value))
