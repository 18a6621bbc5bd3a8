"""Formats times, numbers, values and ids for templates."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

import msgspec

from trigger_engine._readmodel.json_text import json_bytes, json_text

SHOWN = 4_000
"""The number of characters of a value that a page shows; the rest is behind a link."""
_PREVIEW = 160


def time_text(time: datetime | None) -> str:
    """Formats a UTC time in seconds."""
    return "" if time is None else f"{time:%Y-%m-%d %H:%M:%S}"


def exact_time(time: datetime | None) -> str:
    """Formats a UTC time in milliseconds."""
    return "" if time is None else f"{time:%Y-%m-%d %H:%M:%S}.{time.microsecond // 1000:03}"


def duration_text(duration: timedelta | float | None) -> str:
    """Formats a duration in one or two units: 12 ms, 3.4 s, 5 min 20 s, 2 h 5 min, 3 d 4 h."""
    if duration is None:
        return ""
    seconds = max(duration.total_seconds() if isinstance(duration, timedelta) else duration, 0.0)
    if seconds < 0.001:
        return f"{seconds * 1_000_000:.0f} µs"
    if seconds < 1:
        return f"{seconds * 1000:.3g} ms"
    if seconds < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    whole = int(seconds)
    for size, unit, smaller, smaller_unit in ((86_400, "d", 3_600, "h"), (3_600, "h", 60, "min"), (60, "min", 1, "s")):
        if whole >= size:
            rest = whole % size // smaller
            return f"{whole // size} {unit}" + (f" {rest} {smaller_unit}" if rest else "")
    return f"{whole} s"


def age_text(time: datetime | None, now: datetime) -> str:
    """Formats how long ago a time was, or how far in the future it is."""
    if time is None:
        return ""
    if time > now + timedelta(seconds=1):
        return f"in {duration_text(time - now)}"
    if now - time < timedelta(seconds=1):
        return "just now"
    return f"{duration_text(timedelta(seconds=(now - time) // timedelta(seconds=1)))} ago"


def number_text(number: float) -> str:
    """Formats a number: 1,234 or 0.25."""
    return f"{number:,}" if isinstance(number, int) else f"{number:,.0f}" if number >= 100 else f"{number:,.2g}"


def pretty(value: Any) -> str:
    """Formats a value as indented JSON."""
    return msgspec.json.format(json_bytes(value), indent=2).decode()


def cut(text: str, length: int = SHOWN) -> str:
    """Shortens a text."""
    return text if len(text) <= length else text[:length] + "…"


def preview(value: Any) -> str:
    """Formats a value in one short line; a mapping as `key: value, key: value`."""
    if isinstance(value, Mapping):
        return cut(", ".join(f"{key}: {json_text(one)}" for key, one in value.items()), _PREVIEW)
    return cut(json_text(value), _PREVIEW)


def size_text(characters: int) -> str:
    """Formats a number of characters."""
    return f"{characters:,} characters" if characters < 10_000 else f"{characters / 1000:,.0f} thousand characters"


def short_id(full: str) -> str:
    """Returns the end of a long id. Consecutive ids have the same beginning."""
    return full if len(full) <= 12 else f"…{full[-8:]}"


def short_task(task_id: str) -> str:
    """Returns the last part of a task's id."""
    return task_id.rpartition(".")[2] or task_id
