"""Rules of each kind for the matcher, with entries that meet one of them or none."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import msgspec

from trigger_engine._model.definitions import (
    CallableFilter,
    Condition,
    EqualsFilter,
    EventCondition,
    Filter,
    MappingFilter,
    ResultCondition,
    StatusCondition,
    TriggerDefinition,
)
from trigger_engine._model.entries import AnyEntry, EventEmitted, InvocationRegistered, Started, Succeeded

RULES = 10_000
"""Active rules when kinds are compared."""

_IS_CALLABLE = "benchmarks.rules.is_wanted"
_AND_SOURCES = 10


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of rule. `rule(i)`: the i-th trigger; `entries(i, meets)`: entries for it, and whether they meet it."""

    name: str
    rule: Callable[[int], TriggerDefinition]
    entries: Callable[[int, bool], list[AnyEntry]]


def is_wanted(payload: Mapping[str, Any]) -> bool:
    """The cheapest callable filter."""
    return bool(payload["wanted"])


def kinds() -> list[Kind]:
    """Sorted from the cheapest."""
    return [
        Kind(
            "unfiltered", lambda i: _on(i, _event(f"c{i}")), lambda i, meets: [_emitted(f"c{i}" if meets else "x", {})]
        ),
        Kind("one equality", lambda i: _on(i, _event("c", {"user": i})), _by_payload(lambda i: {"user": i})),
        Kind("five equalities", lambda i: _on(i, _event("c", _five(i))), _by_payload(_five)),
        Kind("nested", lambda i: _on(i, _event("c", _nested(i))), _by_payload(_nested)),
        Kind("callable", lambda i: _on(i, _event(f"c{i}", CallableFilter(name=_IS_CALLABLE, code="1"))), _wanted),
        Kind("AND of two on one task", _two_on_one_task, _one_invocation),
        Kind("AND of two sources", lambda i: _all_of(i, 2), lambda i, meets: _from_sources(i, 2, meets=meets)),
        Kind(
            f"AND of {_AND_SOURCES} sources",
            lambda i: _all_of(i, _AND_SOURCES),
            lambda i, meets: _from_sources(i, _AND_SOURCES, meets=meets),
        ),
    ]


def _raw(value: Any) -> msgspec.Raw:
    return msgspec.Raw(msgspec.msgpack.encode(value))


def _event(code: str, wanted: Filter | Mapping[str, Any] | None = None) -> EventCondition:
    one = MappingFilter(value=_raw(wanted)) if isinstance(wanted, Mapping) else wanted
    return EventCondition(id=f"event:{code}{wanted}", event_code=code, payload_filter=one)


def _on(number: int, *conditions: Condition, logic: Literal["and", "or"] = "or") -> TriggerDefinition:
    task = f"m.t{number}"
    return TriggerDefinition(
        id=f"{task}:{number:012x}", slot=f"{task}#0", task_id=task, logic=logic, conditions=conditions, providers=()
    )


_counter = iter(range(1, 10**12))


def _emitted(code: str, payload: Mapping[str, Any]) -> EventEmitted:
    return EventEmitted(id=f"{next(_counter):032x}", time=0.0, event_code=code, payload=_raw(payload))


def _by_payload(payload: Callable[[int], Mapping[str, Any]]) -> Callable[[int, bool], list[AnyEntry]]:
    """Events that meet no rule have a payload of the same shape."""

    def entries(number: int, meets: bool) -> list[AnyEntry]:
        return [_emitted("c", {**payload(number if meets else -1 - number), "amount": 129.5, "tags": ["a", "b"]})]

    return entries


def _five(number: int) -> Mapping[str, Any]:
    return {"user": number, "role": "admin", "country": "FI", "active": True, "plan": "gold"}


def _nested(number: int) -> Mapping[str, Any]:
    return {"order": {"customer": {"id": number, "country": "FI"}}}


def _wanted(number: int, meets: bool) -> list[AnyEntry]:
    return [_emitted(f"c{number}", {"wanted": meets, "amount": 129.5})]


def _two_on_one_task(number: int) -> TriggerDefinition:
    watched = f"m.f{number}"
    status = StatusCondition(id=f"status:{watched}", task_id=watched, statuses=("success",), call_arguments=None)
    large = EqualsFilter(value=_raw("large"))
    result = ResultCondition(id=f"result:{watched}", task_id=watched, result_filter=large, call_arguments=None)
    return _on(number, status, result, logic="and")


def _one_invocation(number: int, meets: bool) -> list[AnyEntry]:
    one = f"{next(_counter):032x}"
    of: dict[str, Any] = {
        "time": 0.0,
        "invocation_id": one,
        "task_id": f"m.f{number}",
        "arguments": _raw({"n": number}),
    }
    by: dict[str, Any] = {**of, "attempt": 1, "claim_id": f"c{one}", "runner_id": "r"}
    result = _raw("large" if meets else "small")
    return [
        InvocationRegistered(id=one, **of),
        Started(id=f"c{one}:started", **by),
        Succeeded(id=f"c{one}:succeeded", result=result, **by),
    ]


def _all_of(number: int, sources: int) -> TriggerDefinition:
    conditions = [_event(f"c{number}", {"source": source}) for source in range(sources)]
    return _on(number, *conditions, logic="and")


def _from_sources(number: int, sources: int, *, meets: bool) -> list[AnyEntry]:
    return [_emitted(f"c{number}", {"source": source if meets else -1, "amount": 129.5}) for source in range(sources)]
