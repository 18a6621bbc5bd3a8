"""Small plots as SVG: charts of one line each, and bars."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

WIDTH, HEIGHT = 420, 150
_LEFT, _RIGHT, _TOP, _BOTTOM = 56, 12, 26, 24
_COLORS = ("#3b6fb6", "#c8553d", "#4b9b62", "#8a63a6", "#b8860b", "#5f7a8a")
_BAR, _GAP, _LETTER = 16, 6, 5.9
_TICKS = 4


@dataclass(frozen=True, slots=True)
class Chart:
    """A line through (x, y) with rising x; the y axis begins at 0. `note`: a word at the top right."""

    title: str
    points: Sequence[tuple[float, float]]
    x_unit: str = "minutes"
    note: str = ""


@dataclass(frozen=True, slots=True)
class Bar:
    """A bar with the text at its end. `color`: an index, the same for bars of one kind."""

    label: str
    value: float
    text: str
    color: int = 0


def line_charts(title: str, charts: Sequence[Chart], *, columns: int = 2) -> str:
    """An SVG of charts in rows."""
    rows = math.ceil(len(charts) / columns)
    parts = [_text(12, 20, title, size=15, weight="bold")]
    for index, chart in enumerate(charts):
        x, y = index % columns * WIDTH, 30 + index // columns * HEIGHT
        parts.append(f'<g transform="translate({x} {y})">{_chart(chart)}</g>')
    return _document(columns * WIDTH, 36 + rows * HEIGHT, parts)


def bar_chart(title: str, bars: Sequence[Bar], *, width: int = 860) -> str:
    """An SVG of horizontal bars from 0, in the given order."""
    left = 20 + _LETTER * max((len(bar.label) for bar in bars), default=0)
    space = width - left - 90
    largest = max((bar.value for bar in bars), default=0) or 1
    parts = [_text(12, 20, title, size=15, weight="bold")]
    for index, bar in enumerate(bars):
        y = 36 + index * (_BAR + _GAP)
        length = max(1.0, bar.value / largest * space)
        parts += [
            _text(left - 8, y + 12, bar.label, anchor="end"),
            _rectangle(left, y, length, _COLORS[bar.color % len(_COLORS)]),
            _text(left + length + 6, y + 12, bar.text),
        ]
    return _document(width, 44 + len(bars) * (_BAR + _GAP), parts)


def _chart(chart: Chart) -> str:
    if not chart.points:
        return _text(_LEFT, 16, f"{chart.title}: nothing measured", weight="bold")
    first, last = min(x for x, _ in chart.points), max(x for x, _ in chart.points)
    steps = _steps(max(y for _, y in chart.points))
    across, down = WIDTH - _LEFT - _RIGHT, HEIGHT - _TOP - _BOTTOM

    def place(x: float, y: float) -> tuple[float, float]:
        return _LEFT + (x - first) / ((last - first) or 1) * across, _TOP + (1 - y / steps[-1]) * down

    parts = [_text(_LEFT, 16, chart.title, weight="bold")]
    if chart.note:
        parts.append(_text(WIDTH - _RIGHT, 16, chart.note, anchor="end"))
    for step in steps:
        _, y = place(first, step)
        parts.append(f'<line x1="{_LEFT}" x2="{WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}" stroke="#8884"/>')
        parts.append(_text(_LEFT - 6, y + 4, f"{step:,g}", anchor="end"))
    parts.append(_text(_LEFT, HEIGHT - 8, f"{round(first, 3):,g}"))
    parts.append(_text(WIDTH - _RIGHT, HEIGHT - 8, f"{round(last, 3):,g} {chart.x_unit}", anchor="end"))
    path = " ".join("{:.1f},{:.1f}".format(*place(*point)) for point in chart.points)
    parts.append(f'<polyline points="{path}" fill="none" stroke="{_COLORS[0]}" stroke-width="1.4"/>')
    return "".join(parts)


def _rectangle(x: float, y: float, length: float, color: str) -> str:
    return f'<rect x="{x:.1f}" y="{y}" width="{length:.1f}" height="{_BAR}" rx="2" fill="{color}"/>'


def _steps(largest: float) -> list[float]:
    """Round values from 0 to at least the largest."""
    if largest <= 0:
        return [0.0, 1.0]
    raw = largest / _TICKS
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= raw)
    return [step * index for index in range(math.ceil(largest / step) + 1)]


def _text(x: float, y: float, text: str, *, anchor: str = "start", weight: str = "", size: int = 0) -> str:
    given = {"text-anchor": anchor if anchor != "start" else "", "font-weight": weight, "font-size": size}
    attributes = "".join(f' {name}="{value}"' for name, value in given.items() if value)
    return f'<text x="{x:.1f}" y="{y:.1f}"{attributes}>{escape(text)}</text>'


def _document(width: float, height: float, parts: Sequence[str]) -> str:
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:g}" height="{height:g}" '
        f'viewBox="0 0 {width:g} {height:g}" font-family="sans-serif" font-size="11" fill="#555">'
    )
    return "\n".join([head, '<rect width="100%" height="100%" fill="#fff"/>', *parts, "</svg>"]) + "\n"
