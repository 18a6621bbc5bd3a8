"""The index finds every condition that an entry meets and checks few others."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.engine.declaring import on_any_result, on_cron, on_event, on_exception, on_result, on_status, raw
from tests.unit.engine.oracle import equal_filter
from tests.unit.engine.recorded_log import Log
from tests.unit.engine.strategies import MAPPINGS
from trigger_engine._engine.decision import FailedFilter
from trigger_engine._engine.filters import decode, freeze, lookup
from trigger_engine._engine.index import Candidate, Index
from trigger_engine._model.definitions import CallableFilter, Condition, EventCondition, MappingFilter
from trigger_engine._model.entries import AnyEntry, EventEmitted


def index_of(*conditions: Condition) -> Index:
    index = Index()
    for number, condition in enumerate(conditions):
        index.add(f"trigger {number}", condition)
    return index


def event(payload: Any, code: str = "a") -> EventEmitted:
    return EventEmitted(id="event", time=0.0, event_code=code, payload=raw(payload))


def result(value: Any, arguments: Any = None, task: str = "m.f") -> AnyEntry:
    log = Log()
    call = log.call(task, arguments)
    call.start()
    call.succeed(value)
    return log.entries[-1][1]


def found(index: Index, entry: AnyEntry, *statuses: str) -> list[str]:
    failures: list[FailedFilter] = []
    ids = [candidate.id for candidate in index.match(entry, statuses, failures)]
    assert failures == []
    assert len(set(ids)) == len(ids)
    return sorted(ids)


def ids(*conditions: Condition) -> list[str]:
    return sorted(condition.id for condition in conditions)


def test_condition_is_found_by_what_it_watches() -> None:
    a, b, cron = on_event("a"), on_event("b"), on_cron("* * * * *")
    running, ends = on_status("m.f", "running", "retry"), on_any_result("m.f")
    other, failed, five = on_any_result("m.g"), on_exception("m.f"), on_result("m.f", 5)
    index = index_of(a, b, cron, running, ends, other, failed, five)
    assert found(index, event({})) == ids(a)
    assert found(index, event({}, "c")) == []
    log = Log()
    log.elect()
    log.tick(cron.id, 60.0)
    log.tick("cron:other", 60.0)
    assert found(index, log.entries[1][1]) == ids(cron)
    assert found(index, log.entries[2][1]) == []
    call = log.call("m.f")
    call.start()
    call.fail()
    assert found(index, log.entries[-3][1], "registered") == []
    assert found(index, log.entries[-2][1], "pending", "running") == ids(running)
    assert found(index, log.entries[-1][1], "failed") == ids(ends, failed)
    assert found(index, result(5), "success") == ids(ends, five)
    assert found(index, result(5.0), "success") == ids(ends, five)
    assert found(index, result(5, task="m.g"), "success") == ids(other)


def test_condition_on_pending_and_running_is_found_once_for_a_start() -> None:
    both = on_status("m.f", "pending", "running", arguments={"k": 1})
    log = Log()
    log.call("m.f", {"k": 1}).start()
    assert found(index_of(both), log.entries[-1][1], "pending", "running") == ids(both)


@pytest.mark.parametrize(
    ("types", "met"),
    [((), True), (("Error",), True), (("Exception", "Other"), True), (("Other",), False), (("error",), False)],
)
def test_exception_is_found_by_its_name_or_the_name_of_a_base(types: tuple[str, ...], met: bool) -> None:
    log = Log()
    call = log.call("m.f")
    call.start()
    call.fail("Error", "ValueError", "Exception")
    condition = on_exception("m.f", *types)
    assert found(index_of(condition), log.entries[-1][1], "failed") == (ids(condition) if met else [])


def test_filters_on_arguments_and_result_must_both_be_met() -> None:
    condition = on_result("m.f", {"ok": True}, {"k": 1})
    index = index_of(condition)
    assert found(index, result({"ok": True, "n": 1}, {"k": 1, "l": 2}), "success") == ids(condition)
    assert found(index, result({"ok": 1}, {"k": 1}), "success") == []
    assert found(index, result({"ok": True}, {"k": 2}), "success") == []
    assert found(index, result([], {"k": 1}), "success") == []


def test_callables_are_returned_and_not_called() -> None:
    condition = on_result("m.f", "?has_k", "?truthy")
    [candidate] = index_of(condition).match(result(None), ("success",), [])
    assert [(f.name, subject) for f, subject in candidate.callables] == [("truthy", "arguments"), ("has_k", "result")]


def test_triggers_share_one_candidate_per_condition() -> None:
    index = index_of(on_event("a"), on_event("a"))
    [candidate] = index.match(event({}), (), [])
    assert list(candidate.users) == ["trigger 0", "trigger 1"]


def test_newest_code_of_a_callable_is_used() -> None:
    index = Index()
    for number, code in enumerate("12"):
        f = CallableFilter(name="m.f", code=code)
        index.add(f"trigger {number}", EventCondition(id="same", event_code="a", payload_filter=f))
    [candidate] = index.match(event({}), (), [])
    assert [f.code for f, _ in candidate.callables] == ["2"]


def test_condition_without_triggers_is_removed_completely() -> None:
    conditions: list[Condition] = [
        on_event("a"),
        on_event("a", {"k": {"l": 1}, "m": 2}),
        on_event("a", {"k": {"l": 2}}),
        on_event("b", "?truthy"),
        on_result("m.f", {"k": 1}, {"l": 1}),
        on_result("m.f", 1),
        on_status("m.f", "running", "success"),
        on_cron("@daily"),
    ]
    index = index_of(*conditions, *conditions)
    for number, condition in enumerate([*conditions, *conditions]):
        index.remove(f"trigger {number}", condition.id)
        index.remove(f"trigger {number}", condition.id)
    assert not any(index.tables.values())
    assert not index._candidates


def test_condition_with_an_unreadable_filter_is_never_met() -> None:
    broken = EventCondition(id="broken", event_code="a", payload_filter=MappingFilter(value=msgspec.Raw(b"\xc1")))
    index = index_of(broken)
    assert found(index, event({})) == []
    index.remove("trigger 0", "broken")


def test_unreadable_value_meets_no_equality_and_is_reported() -> None:
    plain, filtered, shaped = on_event("a"), on_event("a", {"k": 1}), on_event("a", {})
    index = index_of(plain, filtered, shaped)
    entry = EventEmitted(id="event", time=0.0, event_code="a", payload=msgspec.Raw(b"\x81\xa1k\xc1"))
    failures: list[FailedFilter] = []
    assert [candidate.id for candidate in index.match(entry, (), failures)] == [plain.id]
    assert [(f.condition_id, f.entry_id, f.filter) for f in failures] == [
        (filtered.id, "event", "equality"), (shaped.id, "event", "equality"),
    ]  # fmt: skip
    assert "cannot be decoded" in failures[0].error


def test_value_nested_too_deeply_is_reported_as_unreadable() -> None:
    condition = on_event("a", {"k": [1]})
    failures: list[FailedFilter] = []
    payload = msgspec.Raw(b"\x81\xa1k" + b"\x91" * 5000 + b"\xc0")
    entry = EventEmitted(id="event", time=0.0, event_code="a", payload=payload)
    assert index_of(condition).match(entry, (), failures) == []
    assert [(f.condition_id, f.filter) for f in failures] == [(condition.id, "equality")]


def test_only_matching_conditions_of_an_event_are_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    looked_at: list[str] = []

    def passes(self: Candidate, entry: Any, values: dict[Any, Any]) -> bool:
        looked_at.append(self.id)
        return original(self, entry, values)

    original = Candidate.passes
    monkeypatch.setattr(Candidate, "passes", passes)
    conditions = [on_event("a", {"type": "order", "user": number, "shop": number % 7}) for number in range(2000)]
    index = index_of(*conditions)
    assert found(index, event({"type": "order", "user": 1234, "shop": 1234 % 7})) == ids(conditions[1234])
    assert found(index, event({"type": "order", "user": -1, "shop": 3})) == []
    assert len(looked_at) < 20


@pytest.mark.parametrize(("many_conditions", "large_value"), [(True, False), (False, True)])
def test_smaller_of_conditions_and_value_is_iterated(
    many_conditions: bool, large_value: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[Any] = []

    def counted(function: Any) -> Any:
        def call(*given: Any) -> Any:
            steps.append(given)
            return function(*given)

        return call

    monkeypatch.setattr("trigger_engine._engine.index.lookup", counted(lookup))
    monkeypatch.setattr("trigger_engine._engine.index.freeze", counted(freeze))
    conditions = [on_event("a", {f"key {number}": 1}) for number in range(2000 if many_conditions else 10)]
    index = index_of(*conditions)
    more = {f"other {number}": 1 for number in range(2000 if large_value else 1)}
    assert found(index, event({"key 7": 1, "key 8": 2, **more})) == ids(conditions[7])
    assert len(steps) < 20


payloads = st.sampled_from([decode(raw(mapping)) for mapping in MAPPINGS] + [None, [1], "x"])


@given(st.lists(st.sampled_from(MAPPINGS), max_size=8), st.lists(st.integers(0, 7)), payloads)
def test_index_finds_the_same_as_a_check_of_each_condition(wanted: list[Any], removed: list[int], payload: Any) -> None:
    index = Index()
    conditions = {(number, one): on_event("a", one) for number, one in enumerate(map(_Frozen, wanted))}
    for (number, _), condition in conditions.items():
        index.add(f"trigger {number}", condition)
    for (number, _), condition in conditions.items():
        if number in removed:
            index.remove(f"trigger {number}", condition.id)
    left = {condition.id: condition for (number, _), condition in conditions.items() if number not in removed}
    met = [one.id for one in left.values() if equal_filter(one.payload_filter, payload)]
    assert found(index, event(payload)) == sorted(met)


class _Frozen(dict[Any, Any]):
    """A mapping that can be a key."""

    def __hash__(self) -> int:  # type: ignore[override]
        return hash(freeze(dict(self)))
