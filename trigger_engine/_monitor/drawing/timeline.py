"""Draws a time range: lanes of tasks or runners, bars, event markers, and lines between them.

The drawing has at most `MAX_NODES` nodes: lanes with too many bars, and too many events, are drawn as histograms.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Literal

from trigger_engine._monitor.formatting import cut, duration_text, short_id, short_task
from trigger_engine._readmodel.queries.timeline import TimedEvent, TimedInvocation, TimelineRecord

MAX_NODES = 2_000
WIDTH, LEFT, RIGHT = 1200, 170, 12
_BARS, _MARKS, _LINES, _WAITS = 330, 150, 220, 100
_LANES, _ROWS = 24, 10
_ROW, _BAR, _GAP = 16, 12, 12
_TOP = 26
_MIN_WIDTH = 3.0
_WORST = ("failed", "retry", "running", "pending", "registered", "cancelled", "success")
LaneKind = Literal["task", "runner"]


@dataclass(frozen=True, slots=True)
class Lane:
    """A lane: its name and position."""

    name: str
    title: str
    y: float
    height: float


@dataclass(frozen=True, slots=True)
class Bar:
    """An invocation, or a bin of several. For a bin, `path` is None and `since`, `until` are its time range."""

    x: float
    y: float
    width: float
    height: float
    status: str
    title: str
    path: str | None
    focused: bool = False
    since: str | None = None
    until: str | None = None


@dataclass(frozen=True, slots=True)
class Mark:
    """An event, a trigger run, or a bin of several events."""

    x: float
    y: float
    kind: str
    title: str
    path: str | None
    focused: bool = False


@dataclass(frozen=True, slots=True)
class Drawing:
    """The drawing. `hidden_lanes`: the number of lanes not drawn. `waits`: bars of the waiting time before a start."""

    width: int
    height: float
    lanes: tuple[Lane, ...]
    ticks: tuple[tuple[float, str], ...]
    bars: tuple[Bar, ...]
    waits: tuple[Bar, ...]
    marks: tuple[Mark, ...]
    lines: tuple[tuple[str, bool], ...]
    hidden_lanes: int


@dataclass(slots=True)
class _Places:
    """The positions of drawn items, for the lines between them."""

    invocations: dict[str, tuple[float, float, float]] = field(default_factory=dict)
    events: dict[str, tuple[float, float]] = field(default_factory=dict)


def draw(
    found: TimelineRecord,
    since: datetime,
    until: datetime,
    *,
    lanes: LaneKind = "task",
    focus: Collection[str] = (),
    now: datetime,
) -> Drawing:
    """Draws a window. `focus`: ids of highlighted items, which take precedence over others."""
    return _Drawer(since, until, focus, now).draw(found, lanes)


class _Drawer:
    def __init__(self, since: datetime, until: datetime, focus: Collection[str], now: datetime) -> None:
        self._since = since
        self._until = until
        self._focus = frozenset(focus)
        self._now = now
        self._scale = (WIDTH - LEFT - RIGHT) / max((until - since).total_seconds(), 1e-6)
        self._places = _Places()
        self._lanes: list[Lane] = []
        self._bars: list[Bar] = []
        self._waits: list[Bar] = []
        self._marks: list[Mark] = []
        self._y = float(_TOP)

    def draw(self, found: TimelineRecord, lanes: LaneKind) -> Drawing:
        self._draw_events(found.events)
        name: Callable[[TimedInvocation], str] = _task_of if lanes == "task" else _runner_of
        grouped: dict[str, list[TimedInvocation]] = defaultdict(list)
        for one in found.invocations:
            if self._is_inside(one):
                grouped[name(one)].append(one)
        shown = self._chosen(grouped)
        for lane in shown:
            self._draw_lane(lane, grouped[lane], _BARS // max(len(shown), 1), lanes)
        self._draw_runs(found)
        return Drawing(
            width=WIDTH,
            height=self._y + 4,
            lanes=tuple(self._lanes),
            ticks=tuple(self._ticks()),
            bars=tuple(self._bars),
            waits=tuple(self._waits),
            marks=tuple(self._marks),
            lines=tuple(self._lines(found)),
            hidden_lanes=len(grouped) - len(shown),
        )

    def _x(self, time: datetime) -> float:
        return round(LEFT + (time - self._since).total_seconds() * self._scale, 1)

    def _within(self, x: float) -> float:
        return min(max(x, float(LEFT)), float(WIDTH - RIGHT))

    def _time(self, x: float) -> datetime:
        return self._since + timedelta(seconds=(x - LEFT) / self._scale)

    def _bounds(self, one: TimedInvocation) -> tuple[datetime, datetime, datetime]:
        """Returns the times of registration, start and end."""
        begun = one.started_at or one.registered_at or one.ended_at or self._now
        ended = one.ended_at or max(self._now, begun)
        return min(one.registered_at or begun, begun), begun, max(ended, begun)

    def _is_inside(self, one: TimedInvocation) -> bool:
        registered, _, ended = self._bounds(one)
        return registered < self._until and ended >= self._since

    def _chosen(self, grouped: dict[str, list[TimedInvocation]]) -> list[str]:
        """Returns the lanes to draw, by name: those in focus, then the busiest."""
        in_focus = {name: any(one.invocation_id in self._focus for one in ones) for name, ones in grouped.items()}
        by_weight = sorted(grouped, key=lambda name: (not in_focus[name], -len(grouped[name]), name))
        return sorted(by_weight[:_LANES])

    def _draw_events(self, events: Sequence[TimedEvent]) -> None:
        inside = [one for one in events if self._since <= one.timestamp < self._until]
        if not inside:
            return
        y = self._y + 10
        if len(inside) > _MARKS - 30:
            self._draw_event_bins(inside, y)
            inside = [one for one in inside if one.event_id in self._focus][:30]
        for one in inside:
            x = self._x(one.timestamp)
            self._places.events[one.event_id] = (x, y)
            title = f"event {one.event_code}, {one.outcome}, {one.timestamp:%H:%M:%S.%f}"[:-3]
            focused = one.event_id in self._focus
            self._marks.append(Mark(x, y, one.outcome, title, f"/events/{one.event_id}", focused))
        self._add_lane("events", "events", 20)

    def _draw_event_bins(self, events: Sequence[TimedEvent], y: float) -> None:
        step = (WIDTH - LEFT - RIGHT) / 110
        bins: dict[int, Counter[str]] = defaultdict(Counter)
        for one in events:
            bins[int((self._x(one.timestamp) - LEFT) // step)][one.event_code] += 1
        for index, codes in sorted(bins.items()):
            title = ", ".join(f"{count} {code}" for code, count in codes.most_common(4))
            self._marks.append(Mark(round(LEFT + (index + 0.5) * step, 1), y, "many", title, None))

    def _draw_lane(self, name: str, ones: Sequence[TimedInvocation], share: int, kind: LaneKind) -> None:
        shown = short_task(name) if kind == "task" else short_id(name)
        if len(ones) > share:
            self._draw_bins(ones, max(share // 2, 4))
            focused = [one for one in ones if one.invocation_id in self._focus]
            rows = self._draw_bars(focused[: share // 2]) if focused else 0
            self._add_lane(shown, name, (3 + rows) * _ROW)
        else:
            self._add_lane(shown, name, max(self._draw_bars(ones), 1) * _ROW)

    def _add_lane(self, name: str, title: str, height: float) -> None:
        self._lanes.append(Lane(cut(name, 22), title, self._y, height))
        self._y += height + _GAP

    def _draw_bars(self, ones: Iterable[TimedInvocation]) -> int:
        """Draws each bar in the first row with room. Returns the number of rows."""
        free_from: list[float] = []
        for one in sorted(ones, key=lambda one: self._bounds(one)[0]):
            registered, begun, ended = self._bounds(one)
            x0, x1, x2 = (self._within(self._x(time)) for time in (registered, begun, ended))
            row = next((at for at, free in enumerate(free_from) if free <= x0), None)
            if row is None and len(free_from) < _ROWS:
                free_from.append(0.0)
                row = len(free_from) - 1
            row = _ROWS - 1 if row is None else row
            width = max(x2 - x1, _MIN_WIDTH)
            free_from[row] = x1 + width + 1
            y = self._y + row * _ROW
            self._places.invocations[one.invocation_id] = (x0, x1 + width, y + _BAR / 2)
            if x1 - x0 > _MIN_WIDTH and len(self._waits) < _WAITS:
                self._waits.append(Bar(x0, y + 4, x1 - x0, 4, "waiting", "", None))
            took = duration_text(ended - begun) if one.started_at is not None else "not started"
            self._bars.append(
                Bar(
                    x1,
                    y,
                    round(width, 1),
                    _BAR,
                    one.status.value,
                    f"{one.task_id}, {one.status}, {took}, {begun:%H:%M:%S}",
                    f"/invocations/{one.invocation_id}",
                    one.invocation_id in self._focus,
                )
            )
        return len(free_from)

    def _draw_bins(self, ones: Sequence[TimedInvocation], count: int) -> None:
        step = (WIDTH - LEFT - RIGHT) / count
        bins: dict[int, Counter[str]] = defaultdict(Counter)
        for one in ones:
            x = self._within(self._x(self._bounds(one)[1]))
            bins[min(int((x - LEFT) // step), count - 1)][one.status.value] += 1
        highest = max(statuses.total() for statuses in bins.values())
        for index, statuses in sorted(bins.items()):
            height = max(statuses.total() / highest * 3 * _ROW, 3)
            x = LEFT + index * step
            title = ", ".join(f"{count} {status}" for status, count in statuses.most_common())
            self._bars.append(
                Bar(
                    round(x, 1),
                    round(self._y + 3 * _ROW - height, 1),
                    round(step - 1, 1),
                    round(height, 1),
                    next(status for status in _WORST if statuses[status]),
                    title,
                    None,
                    since=self._time(x).isoformat(timespec="milliseconds"),
                    until=self._time(x + step).isoformat(timespec="milliseconds"),
                )
            )

    def _draw_runs(self, found: TimelineRecord) -> None:
        for run in found.runs:
            if run.run_id not in self._focus and not run.rejected:
                continue
            place = self._places.invocations.get(run.invocation_id or "")
            if len(self._marks) < _MARKS and self._since <= run.timestamp < self._until:
                x, y = (place[0], place[2]) if place is not None else (self._x(run.timestamp), _TOP + 10)
                kind = "rejected" if run.rejected else "run"
                title = f"trigger run of {run.task_id}{', rejected' if run.rejected else ''}"
                focused = run.run_id in self._focus
                self._marks.append(Mark(x, y, kind, title, f"/trigger-runs/{run.run_id}", focused))

    def _lines(self, found: TimelineRecord) -> list[tuple[str, bool]]:
        """Draws lines from emitters to events, and from events or invocations to started ones; those in focus first."""
        lines: list[tuple[str, bool]] = []
        for event in found.events:
            place, emitter = self._places.events.get(event.event_id), event.emitter_invocation_id
            if place is not None and emitter in self._places.invocations:
                _, end, y = self._places.invocations[emitter]
                lines.append((_curve(min(end, place[0]), y, *place), event.event_id in self._focus))
        for run in found.runs:
            to = self._places.invocations.get(run.invocation_id or "")
            if to is None:
                continue
            focused = run.run_id in self._focus or run.invocation_id in self._focus
            for event_id in run.event_ids:
                if event_id in self._places.events:
                    both = focused or event_id in self._focus
                    lines.append((_curve(*self._places.events[event_id], to[0], to[2]), both))
            for source in run.source_invocation_ids:
                if source in self._places.invocations:
                    _, end, y = self._places.invocations[source]
                    lines.append((_curve(min(end, to[0]), y, to[0], to[2]), focused or source in self._focus))
        return sorted(lines, key=lambda line: not line[1])[:_LINES]

    def _ticks(self) -> list[tuple[float, str]]:
        seconds = (self._until - self._since).total_seconds()
        shown = "%H:%M:%S.%f" if seconds < 8 else "%H:%M:%S" if seconds < 3600 else "%H:%M"
        shown = "%m-%d %H:%M" if seconds > 86_400 else shown
        ticks = []
        for index in range(7):
            time = self._since + (self._until - self._since) * index / 6
            text = time.strftime(shown)
            ticks.append((self._x(time), text[:-3] if shown.endswith("%f") else text))
        return ticks


def _curve(x1: float, y1: float, x2: float, y2: float) -> str:
    middle = round((y1 + y2) / 2, 1)
    return f"M{x1} {y1}C{x1} {middle} {x2} {middle} {x2} {y2}"


def _task_of(one: TimedInvocation) -> str:
    return one.task_id


def _runner_of(one: TimedInvocation) -> str:
    return one.runner_id or "no runner"
