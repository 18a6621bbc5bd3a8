"""Figures as tables and plots: on the terminal, in docs/performance.md and in docs/performance/tables.md."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.harness.measuring import Figure
from benchmarks.harness.plot import Bar, Chart, bar_chart, line_charts
from benchmarks.harness.results import RESULTS, figures_of
from benchmarks.harness.targets import targets_of

DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGE = DOCS / "performance.md"
TABLES = DOCS / "performance" / "tables.md"
SUMMARY = tomllib.loads(Path(__file__).with_name("summary.toml").read_text(encoding="utf-8"))
PLOTTED = ("emit", "end_to_end", "growth", "latency", "matcher", "peers", "tasks")
_ON_SERVERS = {
    "emit": "Emitting events",
    "end_to_end": "From an event to a finished run",
    "tasks": "Tasks without triggers",
    "latency": "Latency",
}
TITLES = {
    **_ON_SERVERS,
    "breakdown": "Where the processor time of a run goes",
    "peers": "Other task queues",
    "matcher": "The matcher",
    "growth": "Growth",
    "monitor": "The monitor",
    "start_up": "Start-up",
    "idle": "At rest",
    **{
        f"{name}_{backend.lower()}": f"{title} on {backend}"
        for backend in ("Redis", "MongoDB", "RabbitMQ")
        for name, title in _ON_SERVERS.items()
    },
}
"""The sections of the tables page, by question."""

_HEAD = ("case", "measured", "lowest–highest run", "beside it", "ratio", "target")
_PLACE = re.compile(r"(<!-- table (?P<name>\w+) -->\n).*?(<!-- end -->\n)", re.DOTALL)
_OURS, _BESIDE = 0, 4
_ALONE = ("matcher",)
"""Plotted without what stands beside: those bars would be twenty times as long."""

_WIDTH = 150
_INTRODUCTION = """# Performance: all figures

<!-- made by `python -m benchmarks report` from benchmarks/results: do not edit -->

The newest results of each benchmark. [Performance](../performance.md) explains how they are measured and what they say,
[notes](notes.md) what was learned. "Measured" is the median of the runs, "ratio" is it divided by the median of what
stands beside it. Ratios can be compared between days and machines; rates cannot.
"""


def number(value: float) -> str:
    """Three significant digits."""
    if value >= 100:
        digits = len(str(int(value))) - 3
        return f"{round(value, -digits):,.0f}"
    return f"{value:.3g}"


def print_figures(question: str, figures: Sequence[Figure]) -> None:
    """Prints one table on the terminal."""
    print_table(question, _HEAD, [row(figure) for figure in figures])


def print_table(title: str, head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Prints a table that is wide enough also in a log."""
    table = Table(*head, title=title)
    for cells in rows:
        table.add_row(*cells)
    console = Console()
    Console(width=max(console.width, _WIDTH)).print(table)


def row(figure: Figure) -> tuple[str, ...]:
    """The cells of one figure."""
    span = f"{number(min(figure.runs))}–{number(max(figure.runs))}" if len(figure.runs) > 1 else ""
    targets = ", ".join(
        f"{target}: {'met' if target.is_met(figure.value, figure.ratio) else 'not met'}"
        for target in targets_of(figure.question, figure.case)
    )
    return figure.case, _measured(figure), span, _beside(figure), _ratio(figure), targets


def markdown(results: Mapping[str, Any], question: str) -> str:
    """The table of one benchmark with date, commit, machine and plot."""
    if question not in results:
        return "Not measured yet.\n"
    kept = results[question]
    machine = kept["machine"]
    lines = _table(_HEAD, "|---|---:|---:|---|---:|---|", [row(figure) for figure in figures_of(results, question)])
    packages = machine.get("packages") or {"SQLite": machine["sqlite"]}
    versions = ", ".join(f"{name} {version}" for name, version in packages.items())
    where = (
        f"Measured {kept['measured_at'][:10]}, commit `{machine['commit']}`, Python {machine['python']}, {versions}, "
        f"{machine['cpus']} cores ({machine['processor']}), load before: {machine['load_before']}."
    )
    lines += ["", where]
    if question in PLOTTED:
        lines += ["", f"![{question}](../plots/{question}.svg)"]
    return "\n".join(lines) + "\n"


def tables(results: Mapping[str, Any], folder: Path = RESULTS) -> str:
    """The page of all tables."""
    sections = [f"## {title}\n\n{markdown(results, question)}" for question, title in TITLES.items()]
    return "\n".join([_INTRODUCTION, *sections, _earlier(results, folder)])


def filled(page: str, results: Mapping[str, Any]) -> str:
    """A page with the tables between its marks made anew."""
    return _PLACE.sub(lambda place: f"{place[1]}{_summary(results, place['name'])}{place[3]}", page)


def plots(results: Mapping[str, Any]) -> dict[str, str]:
    """The SVG of each benchmark that has a plot and was measured."""
    return {question: _plot(question, figures_of(results, question)) for question in PLOTTED if question in results}


def write_docs(results: Mapping[str, Any]) -> None:
    """Writes the figures and plots of the documentation."""
    PAGE.write_text(filled(PAGE.read_text(encoding="utf-8"), results), encoding="utf-8")
    TABLES.write_text(tables(results), encoding="utf-8")
    (DOCS / "plots").mkdir(exist_ok=True)
    for question, picture in plots(results).items():
        (DOCS / "plots" / f"{question}.svg").write_text(picture, encoding="utf-8")


def _measured(figure: Figure) -> str:
    return f"{number(figure.value)} {figure.unit}"


def _beside(figure: Figure) -> str:
    return "" if figure.beside_value is None else f"{number(figure.beside_value)} ({figure.beside_what})"


def _ratio(figure: Figure) -> str:
    return "" if figure.ratio is None else f"{figure.ratio:.2f}"


def _table(head: Sequence[str], aligned: str, rows: Sequence[Sequence[str]]) -> list[str]:
    return [f"| {' | '.join(head)} |", aligned, *(f"| {' | '.join(cells)} |" for cells in rows)]


def _summary(results: Mapping[str, Any], name: str) -> str:
    """One short table of the performance page, or the line that says when and where its tables were measured."""
    if name == "measured":
        questions = {question for each in SUMMARY.values() for _, question, _ in each["rows"]} & results.keys()
        where = {
            f"{kept['measured_at'][:10]}, Python {kept['machine']['python']}, "
            f"{kept['machine']['cpus']} cores ({kept['machine']['processor']})"
            for kept in map(results.__getitem__, questions)
        }
        return f"Measured {'; '.join(sorted(where))}.\n"
    rows = []
    for label, question, case in SUMMARY[name]["rows"]:
        found = [figure for figure in figures_of(results, question) if figure.case == case]
        rows += [(label, _measured(figure), _beside(figure), _ratio(figure)) for figure in found]
    head = SUMMARY[name]["head"]
    if any(beside for _, _, beside, _ in rows):
        return "\n".join(_table((head, "measured", "beside it", "ratio"), "|---|---:|---|---:|", rows)) + "\n"
    return "\n".join(_table((head, "measured"), "|---|---:|", [cells[:2] for cells in rows])) + "\n"


def _earlier(results: Mapping[str, Any], folder: Path) -> str:
    """Which older results are kept, and where."""
    rows = []
    for path in sorted(folder.glob("*.json")):
        for question, kept in json.loads(path.read_text(encoding="utf-8")).items():
            if kept["measured_at"] != results[question]["measured_at"]:
                machine = kept["machine"]
                where = f"`benchmarks/results/{path.name}`"
                rows.append((question, kept["measured_at"][:10], f"`{machine['commit']}`", machine["processor"], where))
    head = ("benchmark", "measured", "commit", "processor", "file")
    return "\n".join(["## Earlier results", "", *_table(head, "|---|---|---|---|---|", rows)]) + "\n"


def _plot(question: str, figures: Sequence[Figure]) -> str:
    charts = [
        Chart(name, points, x_unit="million entries") for figure in figures for name, points in figure.lines.items()
    ]
    if charts:
        return line_charts(question, charts)
    bars = []
    for figure in figures:
        if figure.unit == figures[0].unit:
            bars.append(Bar(figure.case, figure.value, number(figure.value), _OURS))
            if figure.beside_value is not None and question not in _ALONE:
                bars.append(Bar(figure.beside_what, figure.beside_value, number(figure.beside_value), _BESIDE))
    return bar_chart(f"{question}, {figures[0].unit}", bars)
