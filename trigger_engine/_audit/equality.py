"""Equality filters, implemented from their definition alone, independently of the engine."""

from __future__ import annotations

from math import isnan
from typing import Any


def holds(value: Any, wanted: Any) -> bool:
    """Returns whether a value matches: a mapping needs at least the wanted keys, at every level; others are equal."""
    if not isinstance(wanted, dict):
        return same(value, wanted)
    return isinstance(value, dict) and all(
        any(holds(item, below) for item in _under(value, key)) for key, below in wanted.items()
    )


def same(one: Any, other: Any) -> bool:
    """Returns whether two decoded values are equal, recursively. A bool is not a number; NaN equals NaN."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, dict) and isinstance(other, dict):
        return len(one) == len(other) and all(
            any(same(item, other_item) for other_item in _under(other, key)) for key, item in one.items()
        )
    if isinstance(one, float) and isinstance(other, float) and isnan(one):
        return isnan(other)
    return bool(one == other)


def _under(mapping: dict[Any, Any], key: Any) -> list[Any]:
    """Returns the values under a key: one, or none."""
    if isinstance(key, str):
        return [mapping[key]] if key in mapping else []
    return [item for found, item in mapping.items() if same(found, key)]
