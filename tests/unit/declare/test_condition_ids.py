"""Ids are readable, derived from the content, and the same in every process."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from tests.support.project import ROOT
from tests.unit.declare.sample_functions import from_event, from_everything, is_large, needs_approval
from tests.unit.declare.targets import NOTE, SOURCE, FakeTask, condition_id, declare
from trigger_engine._declare.builder import TriggerBuilder
from trigger_engine._declare.condition_ids import MAX_LENGTH

FUNCTIONS = "tests.unit.declare.sample_functions"
B = TriggerBuilder()

IDS: list[tuple[TriggerBuilder, str]] = [
    (B.on_event("user.login"), "event:user.login"),
    (B.on_event("user.login", {"role": "admin"}), 'event:user.login{"role":"admin"}'),
    (B.on_event("a", {"y": {"d": 1, "c": [2.5, None]}, "x": True}), 'event:a{"x":true,"y":{"c":[2.5,null],"d":1}}'),
    (B.on_event("a", {}), "event:a{}"),
    (B.on_event("a", is_large), f"event:a?{FUNCTIONS}.is_large"),
    (B.on_event("two words"), 'event:"two words"'),
    (B.on_event('a{"x":1}'), r'event:"a{\"x\":1}"'),
    (B.on_event("line\n\u2028end"), r'event:"line\n\u2028end"'),
    (B.on_event("café/größe"), "event:café/größe"),
    (B.on_status("tasks.f", call_arguments={"priority": "high"}), 'status:tasks.f[success]{"priority":"high"}'),
    (B.on_status("tasks.f", ["FAILED", "RETRY"]), "status:tasks.f[retry,failed]"),
    (B.on_status("tasks.f", call_arguments=is_large), f"status:tasks.f[success]?{FUNCTIONS}.is_large"),
    (B.on_status("tests.test_it.<locals>.f"), "status:tests.test_it.<locals>.f[success]"),
    (B.on_result(SOURCE, 2.5), "result:tasks.div==2.5"),
    (B.on_result(SOURCE, "2.5"), 'result:tasks.div=="2.5"'),
    (B.on_result(SOURCE, None), "result:tasks.div==null"),
    (B.on_result(SOURCE, [1, "a"]), 'result:tasks.div==[1,"a"]'),
    (B.on_result(SOURCE, {"status": "completed"}), 'result:tasks.div{"status":"completed"}'),
    (B.on_result("tasks.f", needs_approval), f"result:tasks.f?{FUNCTIONS}.needs_approval"),
    (B.on_result(SOURCE, 2.5, {"x": 5}), 'result:tasks.div({"x":5})==2.5'),
    (B.on_any_result(SOURCE), "any-result:tasks.div"),
    (B.on_any_result(SOURCE, {"x": 1}), 'any-result:tasks.div{"x":1}'),
    (B.on_exception(SOURCE), "exception:tasks.div"),
    (B.on_exception(SOURCE, [ValueError, "KeyError"]), "exception:tasks.div[KeyError,ValueError]"),
    (B.on_exception(SOURCE, ValueError, {"x": 1}), 'exception:tasks.div[ValueError]{"x":1}'),
    (B.on_cron("*/5  * * * *", timezone="Europe/Berlin"), "cron:*/5 * * * *@Europe/Berlin"),
    (B.on_cron("@hourly"), "cron:@hourly@UTC"),
    (B.on_cron("@hourly", catch_up="all"), "cron:@hourly@UTC[all 86400s]"),
    (B.on_cron("@hourly", catch_up_window=timedelta(minutes=1)), "cron:@hourly@UTC[latest 60s]"),
]


@pytest.mark.parametrize(("builder", "id_"), IDS, ids=range(len(IDS)))
def test_condition_has_a_readable_id(builder: TriggerBuilder, id_: str) -> None:
    assert condition_id(builder) == id_


def test_values_with_the_same_text_have_different_ids() -> None:
    instant = datetime(2024, 1, 1, tzinfo=UTC)
    values = [instant, "2024-01-01T00:00:00Z", float("nan"), None, b"AA==", "AA==", "QUE9PQ==", 1, 1.0, True, "1"]
    values += [{"a": value} for value in values] + [{1: 2}, {"1": 2}, [1], {"a": [instant]}]
    ids = [condition_id(B.on_result(SOURCE, value)) for value in values]
    assert len(set(ids)) == len(ids)
    assert re.fullmatch(r'result:tasks\.div=="2024-01-01T00:00:00Z"~[0-9a-f]{8}', ids[0])


@given(st.text(min_size=1), st.text(min_size=1))
def test_event_codes_have_distinct_printable_ids(one: str, other: str) -> None:
    assume(one != other)
    for code in (one, other):
        assume(code.encode("utf-8", "ignore").decode() == code)
    ids = {condition_id(B.on_event(one)), condition_id(B.on_event(other))}
    assert len(ids) == 2
    assert all(id_.isprintable() and len(id_) <= MAX_LENGTH + 1 for id_ in ids)


def test_long_id_is_cut_and_keeps_a_hash_of_the_whole() -> None:
    one, other = (condition_id(B.on_event("a", {"text": "x" * 500 + end})) for end in "ab")
    assert one != other
    assert one.startswith('event:a{"text":"xxx')
    assert len(one) == MAX_LENGTH + 1
    assert re.fullmatch(r".{107}~[0-9a-f]{12}~", one)


def trigger_id(builder: TriggerBuilder, target: FakeTask = NOTE, place: int = 0) -> str:
    return declare(builder, target, place).definition.id


def test_trigger_id_is_the_task_and_a_hash_of_the_content() -> None:
    assert trigger_id(B.on_event("a")) == "tasks.note:b14ca7c73dea"


def takes(x: int = 0, y: object = None) -> None: ...


TAKES = FakeTask("tasks.takes", takes)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (B.on_event("a").on_event("b"), B.on_event("b").on_event("a")),
        (B.on_event("a"), B.on_event("a").on_event("a")),
        (B.on_event("a", {"x": 1, "y": 2}), B.on_event("a", {"y": 2, "x": 1})),
        (B.on_event("a").with_args_static({"x": 1, "y": 2}), B.on_event("a").with_args_static({"y": 2, "x": 1})),
        (B.with_args_static({"x": 1}).on_event("a"), B.on_event("a").with_args_static({"x": 1})),
    ],
)
def test_same_content_has_the_same_id(one: TriggerBuilder, other: TriggerBuilder) -> None:
    assert trigger_id(one, TAKES) == trigger_id(other, TAKES, place=4)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (B.on_event("a").on_event("b"), B.on_event("a").on_event("b").with_logic("or")),
        (B.on_event("a"), B.on_event("b")),
        (B.on_event("a"), B.on_event("a").with_args_static({"x": 1})),
        (B.on_event("a").with_args_static({"x": 2}), B.on_event("a").with_args_static({"x": 1})),
        (B.on_event("a").with_args_from_event(from_event), B.on_event("a")),
        (
            B.on_event("a").with_args_from_event(from_event).with_args_from_trigger_context(from_everything),
            B.on_event("a").with_args_from_trigger_context(from_everything).with_args_from_event(from_event),
        ),
    ],
)
def test_different_content_has_a_different_id(one: TriggerBuilder, other: TriggerBuilder) -> None:
    assert trigger_id(one, TAKES) != trigger_id(other, TAKES)


def test_same_trigger_on_another_task_has_a_different_id() -> None:
    assert trigger_id(B.on_event("a"), NOTE).partition(":")[2] == trigger_id(B.on_event("a"), TAKES).partition(":")[2]
    assert trigger_id(B.on_event("a"), NOTE) != trigger_id(B.on_event("a"), TAKES)


DECLARES = """
from tests.unit.declare.sample_functions import from_event, is_large, needs_approval
from tests.unit.declare.targets import CODEC, FakeTask, declare
from trigger_engine._declare.builder import TriggerBuilder

def takes(x=None, y=None): ...

builder = (
    TriggerBuilder()
    .on_event("a", {"names": {"ann", "bob", "cid", "dan"}, "z": 1})
    .on_result("tasks.f", needs_approval, is_large)
    .with_args_static({"x": frozenset("abcdef")})
    .with_args_from_event(from_event)
)
definition = declare(builder, FakeTask("tasks.takes", takes)).definition
print(definition.id, [condition for condition in definition.conditions], definition.providers[1])
print([bytes(definition.conditions[0].payload_filter.value)])
"""


def test_ids_and_code_hashes_are_equal_in_every_process() -> None:
    def run(seed: str) -> str:
        env = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT)}
        command = [sys.executable, "-c", DECLARES]
        return subprocess.run(command, env=env, capture_output=True, text=True, check=True, timeout=60).stdout

    shown = [re.sub(r"<msgspec.Raw object at 0x\w+>", "", run(seed)) for seed in ("1", "2", "3")]
    assert shown[0] == shown[1] == shown[2]
    assert "tasks.takes:" in shown[0]


Changed = tuple[Callable[..., object], Callable[..., object]]


def test_code_is_not_part_of_an_id() -> None:
    namespace: dict[str, Callable[..., bool]] = {"__name__": FUNCTIONS}  # type: ignore[dict-item]
    exec("def is_large(arguments):\n    return False\n", namespace)
    one = declare(B.on_event("a", is_large)).definition
    other = declare(B.on_event("a", namespace["is_large"])).definition
    assert one != other
    assert (one.id, one.conditions[0].id) == (other.id, other.conditions[0].id)
