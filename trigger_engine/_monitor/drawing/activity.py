"""A bar chart of the last hour: events, trigger runs and failures by minute."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from trigger_engine._readmodel.records import ActivityRecord

MINUTES = 60
WIDTH, HEIGHT = 600.0, 84.0
_BAR = WIDTH / MINUTES
FAILURES = ("failed", "rejected", "filter-failed")


@dataclass(frozen=True, slots=True)
class Bar:
    """The bar of one kind in one minute. `title`: its tooltip."""

    kind: str
    x: float
    y: float
    width: float
    height: float
    title: str


@dataclass(frozen=True, slots=True)
class Chart:
    """The bars, and the value of the highest one."""

    bars: tuple[Bar, ...]
    highest: int


def chart(activity: Sequence[ActivityRecord], now: datetime) -> Chart:
    """Returns the chart of the hour that ends now."""
    by_minute = {one.start: one.counts for one in activity}
    this_minute = now.replace(second=0, microsecond=0)
    minutes = [this_minute - timedelta(minutes=back) for back in range(MINUTES - 1, -1, -1)]
    rows = [(minute, _counts(by_minute.get(minute, {}))) for minute in minutes]
    highest = max((max(counts.values()) for _, counts in rows), default=0)
    bars = [bar for index, (minute, counts) in enumerate(rows) for bar in _bars(index, minute, counts, max(highest, 1))]
    return Chart(tuple(bars), highest)


def _counts(counts: object) -> dict[str, int]:
    found = counts if isinstance(counts, dict) else {}
    return {
        "events": found.get("event", 0),
        "runs": found.get("fired", 0),
        "failures": sum(found.get(kind, 0) for kind in FAILURES),
    }


def _bars(index: int, minute: datetime, counts: dict[str, int], highest: int) -> list[Bar]:
    third = _BAR / 3.4
    title = f"{minute:%H:%M}: {counts['events']:,} events, {counts['runs']:,} runs, {counts['failures']:,} failures"
    bars = []
    for place, (kind, count) in enumerate(counts.items()):
        if count:
            height = max(count / highest * HEIGHT, 1.5)
            x = round(index * _BAR + place * third, 2)
            bars.append(Bar(kind, x, round(HEIGHT - height, 2), round(third * 0.9, 2), round(height, 2), title))
    return bars
