"""Equality filters: the canonical form in which values are compared, and the split of filters into single equalities.

Values are what msgpack decodes to. A bool is not a number, 1 equals 1.0, NaN equals NaN, times are equal if they are
the same instant, and lists are compared element by element. Mappings are equal if all their items are; for a
MappingFilter they may hold further keys, at every level.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable
from typing import Any, Final, Literal

import msgspec

from trigger_engine._model.definitions import (
    Condition,
    CronCondition,
    EqualsFilter,
    EventCondition,
    Filter,
    MappingFilter,
    ResultCondition,
)

Subject = Literal["payload", "arguments", "result"]
"""The field of an entry that a filter looks at."""

Frozen = Hashable
"""A value in canonical form. Filters treat two values as equal exactly if their frozen forms are equal."""

decode: Final[Callable[[msgspec.Raw], Any]] = msgspec.msgpack.Decoder().decode
UNREADABLE: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What `decode` and `freeze` raise for damaged bytes and for values that are nested too deeply."""

MAPPING: Final = ("any mapping",)
"""The value of a requirement that every mapping meets. No frozen value equals it."""

_TRUE, _FALSE, _NAN = ("bool", True), ("bool", False), ("nan",)
MISSING: Final = object()
"""What `lookup` returns for an absent key."""


Requirement = tuple[tuple[Frozen, ...], Frozen]
"""A path (frozen keys, outermost first) and the frozen value required there, or `MAPPING`."""


def freeze(value: Any) -> Frozen:
    """The canonical form of a decoded value."""
    freezer = _FREEZERS.get(type(value))
    return value if freezer is None else freezer(value)


def _freeze_float(value: float) -> Frozen:
    return _NAN if math.isnan(value) else value


def _freeze_list(value: list[Any] | tuple[Any, ...]) -> Frozen:
    return ("list", *map(freeze, value))


def _freeze_mapping(value: dict[Any, Any]) -> Frozen:
    return ("mapping", frozenset([(freeze(key), freeze(item)) for key, item in value.items()]))


_FREEZERS: Final[dict[type, Callable[[Any], Frozen]]] = {
    bool: lambda value: _TRUE if value else _FALSE,
    float: _freeze_float,
    list: _freeze_list,
    tuple: _freeze_list,
    dict: _freeze_mapping,
    msgspec.msgpack.Ext: lambda value: ("ext", value.code, bytes(value.data)),
}


def lookup(mapping: dict[Any, Any], key: Frozen) -> Any:
    """The value of a frozen key, or `MISSING`. Fast for strings, because a string is its own frozen form."""
    if type(key) is str:
        return mapping.get(key, MISSING)
    return next((item for found, item in mapping.items() if freeze(found) == key), MISSING)


def meets(value: Any, requirement: Requirement) -> bool:
    """True if a decoded value meets one requirement."""
    path, expected = requirement
    for key in path:
        if type(value) is not dict:
            return False
        value = lookup(value, key)
        if value is MISSING:
            return False
    return type(value) is dict if expected is MAPPING else freeze(value) == expected


def requirements(filter_: Filter | None) -> tuple[Requirement, ...]:
    """The requirements that a value must meet to pass the filter; empty for a callable and for None.

    Raises one of UNREADABLE if the value of the filter cannot be decoded.
    """
    if isinstance(filter_, MappingFilter):
        value = decode(filter_.value)
        return tuple(_flatten(value, ())) if type(value) is dict else (((), freeze(value)),)
    if isinstance(filter_, EqualsFilter):
        return (((), freeze(decode(filter_.value))),)
    return ()


def passes(filter_: MappingFilter | EqualsFilter, value: Any) -> bool:
    """True if a decoded value passes an equality filter."""
    return all(meets(value, requirement) for requirement in requirements(filter_))


def filters_by_subject(condition: Condition) -> list[tuple[Subject, Filter]]:
    """The filters of a condition with the field that each one reads, in the order in which they are evaluated."""
    if isinstance(condition, EventCondition):
        return [] if condition.payload_filter is None else [("payload", condition.payload_filter)]
    if isinstance(condition, CronCondition):
        return []
    filters: list[tuple[Subject, Filter]] = []
    if condition.call_arguments is not None:
        filters.append(("arguments", condition.call_arguments))
    if isinstance(condition, ResultCondition):
        filters.append(("result", condition.result_filter))
    return filters


def _flatten(value: dict[Any, Any], path: tuple[Frozen, ...]) -> list[Requirement]:
    if not value:
        return [(path, MAPPING)]
    found: list[Requirement] = []
    for key, item in value.items():
        below = (*path, freeze(key))
        if type(item) is dict:
            found += _flatten(item, below)
        else:
            found.append((below, freeze(item)))
    return found
