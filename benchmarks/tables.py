"""Figures as tables and plots, on the terminal and in docs/performance.md, whose figures are made here only."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.goals import goals_of
from benchmarks.harness import Figure
from benchmarks.plot import Bar, Chart, Line, bar_chart, line_charts
from benchmarks.results import figures_of
from benchmarks.rules import RULES

DOCS = Path(__file__).resolve().parents[1] / "docs"
PAGE = DOCS / "performance.md"
PLOTTED = ("emit", "end_to_end", "growth", "latency", "matcher", "peers", "tasks")
_HEAD = ("case", "measured", "runs from–to", "beside", "ratio", "goal")
_PLACE = re.compile(r"(<!-- figures of (?P<question>\w+) -->\n).*?(<!-- end -->\n)", re.DOTALL)
_OURS, _BESIDE = 0, 4
_ALONE = ("matcher",)
"""Plots without what stands beside: there it is so far away that nothing else would be seen."""

_WIDTH = 150


def number(value: float) -> str:
    """Three digits that count."""
    if value >= 100:
        digits = len(str(int(value))) - 3
        return f"{round(value, -digits):,.0f}"
    return f"{value:.3g}"


def print_figures(question: str, figures: Sequence[Figure]) -> None:
    """One table on the terminal."""
    table = Table(*_HEAD, title=question)
    for figure in figures:
        table.add_row(*row(figure))
    console = Console()
    Console(width=max(console.width, _WIDTH)).print(table)


def row(figure: Figure) -> tuple[str, ...]:
    """The cells of one figure."""
    span = f"{number(min(figure.runs))}–{number(max(figure.runs))}" if len(figure.runs) > 1 else ""
    beside = f"{number(sorted(figure.beside)[len(figure.beside) // 2])} ({figure.beside_what})" if figure.beside else ""
    ratio = "" if figure.ratio is None else f"{figure.ratio:.2f}"
    goals = ", ".join(
        f"{goal}: {'reached' if goal.is_met(figure.value, figure.ratio) else 'not reached'}"
        for goal in goals_of(figure.question, figure.case)
    )
    return figure.case, f"{number(figure.value)} {figure.unit}", span, beside, ratio, goals


def markdown(results: Mapping[str, Any], question: str) -> str:
    """The table of one question with when and where it was measured, and its plot."""
    if question not in results:
        return "Not measured yet.\n"
    kept = results[question]
    machine = kept["machine"]
    lines = [f"| {' | '.join(_HEAD)} |", "|---|---:|---:|---|---:|---|"]
    lines += [f"| {' | '.join(row(figure))} |" for figure in figures_of(results, question)]
    packages = machine.get("packages") or {"SQLite": machine["sqlite"]}
    versions = ", ".join(f"{name} {version}" for name, version in packages.items())
    where = (
        f"{kept['measured_at'][:10]}, commit `{machine['commit']}`, Python {machine['python']}, "
        f"{versions}, {machine['cpus']} cores ({machine['processor']}), load before: "
        f"{machine['load_before']}"
    )
    lines += ["", f"Measured {where}."]
    if question == "matcher":
        lines = [*_by_kind(figures_of(results, question)), "", "In full:", "", *lines]
    if question in PLOTTED:
        lines += ["", f"![{question}](plots/{question}.svg)"]
    return "\n".join(lines) + "\n"


def _by_kind(figures: Sequence[Figure]) -> list[str]:
    """A short table: a row for each kind of rule, a column for each outcome."""
    found: dict[str, dict[str, str]] = {}
    for figure in figures:
        kind, *_, outcome = figure.case.split(", ")
        if f", {RULES:,} rules, " in figure.case:
            found.setdefault(kind, {})[outcome] = number(figure.value)
    outcomes = list(dict.fromkeys(outcome for cells in found.values() for outcome in cells))
    lines = [f"| entries a second, {RULES:,} rules | {' | '.join(outcomes)} |", "|---" + "|---:" * len(outcomes) + "|"]
    return lines + [f"| {kind} | {' | '.join(cells.get(o, '') for o in outcomes)} |" for kind, cells in found.items()]


def filled(page: str, results: Mapping[str, Any]) -> str:
    """A page with the figures between its marks made anew."""
    return _PLACE.sub(lambda place: f"{place[1]}\n{markdown(results, place['question'])}\n{place[3]}", page)


def plots(results: Mapping[str, Any]) -> dict[str, str]:
    """The SVG of each question that has one and was measured."""
    return {question: _plot(question, figures_of(results, question)) for question in PLOTTED if question in results}


def write_docs(results: Mapping[str, Any]) -> None:
    """Makes the figures and plots of the documentation."""
    PAGE.write_text(filled(PAGE.read_text(encoding="utf-8"), results), encoding="utf-8")
    (DOCS / "plots").mkdir(exist_ok=True)
    for question, picture in plots(results).items():
        (DOCS / "plots" / f"{question}.svg").write_text(picture, encoding="utf-8")


def _plot(question: str, figures: Sequence[Figure]) -> str:
    charts = [
        Chart(name, [Line(name, points)], x_unit="million entries")
        for figure in figures
        for name, points in figure.lines.items()
    ]
    if charts:
        return line_charts(question, charts)
    unit = figures[0].unit
    bars = []
    for figure in figures:
        if figure.unit == unit:
            bars.append(Bar(figure.case, figure.value, number(figure.value), _OURS))
            if figure.beside and question not in _ALONE:
                beside = sorted(figure.beside)[len(figure.beside) // 2]
                bars.append(Bar(figure.beside_what, beside, number(beside), _BESIDE))
    return bar_chart(f"{question}, {unit}", bars)
