"""Equality filters: the canonical form in which values are compared, and filters taken apart into single equalities.

Values are what msgpack decodes to. A bool is no number, 1 equals 1.0, NaN equals NaN, times are equal when they are
the same instant, lists element by element; mappings are equal, or (MappingFilter) hold at least what is asked, at every
level.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable
from typing import Any, Final, Literal

import msgspec

from trigger_engine.entries.definitions import (
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
"""A value in canonical form: two values are equal for filters exactly when their frozen forms are equal."""

decode: Final[Callable[[msgspec.Raw], Any]] = msgspec.msgpack.Decoder().decode
UNREADABLE: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What `decode` and `freeze` raise for bytes that are damaged or nested too deeply."""

MAPPING: Final = ("any mapping",)
"""What a requirement that any mapping meets has for a value; no frozen value equals it."""

_TRUE, _FALSE, _NAN = ("bool", True), ("bool", False), ("nan",)
MISSING: Final = object()
"""What `lookup` gives where a key is absent."""


Requirement = tuple[tuple[Frozen, ...], Frozen]
"""A path (frozen keys from the outermost in), and the frozen value that must stand there (or `MAPPING`)."""


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
    """The value under a frozen key, or `MISSING`; strings, which are their own frozen form, take the short way."""
    if type(key) is str:
        return mapping.get(key, MISSING)
    return next((item for found, item in mapping.items() if freeze(found) == key), MISSING)


def meets(value: Any, requirement: Requirement) -> bool:
    """Whether a decoded value meets one requirement."""
    path, expected = requirement
    for key in path:
        if type(value) is not dict:
            return False
        value = lookup(value, key)
        if value is MISSING:
            return False
    return type(value) is dict if expected is MAPPING else freeze(value) == expected


def requirements(filter_: Filter | None) -> tuple[Requirement, ...]:
    """What a value must meet, all of it, to pass the filter; nothing for a callable or no filter.

    Raises one of UNREADABLE when the filter's own value cannot be read.
    """
    if isinstance(filter_, MappingFilter):
        value = decode(filter_.value)
        return tuple(_flatten(value, ())) if type(value) is dict else (((), freeze(value)),)
    if isinstance(filter_, EqualsFilter):
        return (((), freeze(decode(filter_.value))),)
    return ()


def passes(filter_: MappingFilter | EqualsFilter, value: Any) -> bool:
    """Whether a decoded value passes an equality filter."""
    return all(meets(value, requirement) for requirement in requirements(filter_))


def filters_by_subject(condition: Condition) -> list[tuple[Subject, Filter]]:
    """Every filter of a condition with what it looks at, in the order in which they are asked."""
    if isinstance(condition, EventCondition):
        return [] if condition.payload_filter is None else [("payload", condition.payload_filter)]
    if isinstance(condition, CronCondition):
        return []
    asked: list[tuple[Subject, Filter]] = []
    if condition.call_arguments is not None:
        asked.append(("arguments", condition.call_arguments))
    if isinstance(condition, ResultCondition):
        asked.append(("result", condition.result_filter))
    return asked


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
