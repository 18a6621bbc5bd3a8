"""Equality filters, evaluated from their definition alone, one value against another."""

from __future__ import annotations

from math import isnan
from typing import Any


def holds(value: Any, wanted: Any) -> bool:
    """Whether a value has everything wanted: of a mapping at least its keys, at every level; else the same value."""
    if not isinstance(wanted, dict):
        return same(value, wanted)
    return isinstance(value, dict) and all(
        any(holds(item, below) for item in _under(value, key)) for key, below in wanted.items()
    )


def same(one: Any, other: Any) -> bool:
    """Whether two decoded values are equal: a bool is no number, NaN equals NaN, lists and mappings part by part."""
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
    """What stands under a key, as a list of one, or nothing."""
    if isinstance(key, str):
        return [mapping[key]] if key in mapping else []
    return [item for found, item in mapping.items() if same(found, key)]
