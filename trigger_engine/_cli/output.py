"""Command output: tables for people, one JSON object per line for machines."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any

import typer
from rich.cells import cell_len, set_cell_size
from rich.console import Console, RenderableType
from rich.text import Text

from trigger_engine._readmodel.json_text import json_text

JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object per line.")]

STYLES = {
    "success": "green", "triggered": "green", "fired": "green", "active": "green", "ok": "green",
    "running": "cyan", "pending": "cyan", "matched": "cyan", "kept": "cyan", "registered": "cyan",
    "retry": "yellow", "suspended": "yellow", "warning": "yellow", "replaced": "dim", "retired": "dim",
    "cancelled": "dim", "recorded": "dim", "failed": "red", "rejected": "red",
}  # fmt: skip
"""Colors of words that are alone in a cell."""

_GAP = 2
_MIN_FREE_WIDTH = 24
_MAX_TEXT = 400


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table. `free`: its text may be shortened to fit; other cells are never shortened."""

    title: str
    free: bool = False


def print_table(columns: Sequence[Column], rows: Iterable[Sequence[str]], *, empty: str) -> None:
    """Prints rows of cells, or `empty` if there are none. Empty columns are left out.

    Columns that do not fit are printed below their row, each on its own line. In a pipe or a file nothing is shortened.
    """
    table = [[_one_line(cell) for cell in row] for row in rows]
    console = open_console()
    with console.capture() as captured:
        if table:
            _print_rows(console, columns, table)
        else:
            console.print(Text(empty, "dim"))
    sys.stdout.write(captured.get())


def print_text(*lines: RenderableType) -> None:
    """Prints styled lines and tables, wrapped at words on a terminal."""
    console = open_console()
    with console.capture() as captured:
        for line in lines:
            console.print(line)
    sys.stdout.write("".join(f"{line.rstrip()}\n" for line in captured.get().splitlines()))


def print_json(*objects: Any) -> None:
    """Prints each object as one line of JSON. Times are UTC; bytes are base64."""
    for one in objects:
        sys.stdout.write(json_text(one) + "\n")


def open_console() -> Console:
    """Returns a console on standard output that prints texts unchanged."""
    console = Console(file=sys.stdout, highlight=False, markup=False, emoji=False)
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console.width = sys.maxsize
    return console


def styled(word: str) -> Text:
    """Returns a word in its color."""
    return Text(word, STYLES.get(word, ""))


def time_text(time: datetime | None) -> str:
    """Formats a time in the local time zone, in seconds; empty for None."""
    return "" if time is None else f"{time.astimezone():%Y-%m-%d %H:%M:%S}"


def value_text(value: Any) -> str:
    """Formats a payload, arguments or a result as short text."""
    return json_text(value)[:_MAX_TEXT]


def _print_rows(console: Console, columns: Sequence[Column], table: list[list[str]]) -> None:
    used = [at for at in range(len(columns)) if any(row[at] for row in table)]
    columns, table = [columns[at] for at in used], [[row[at] for at in used] for row in table]
    widths = [max(cell_len(cell) for cell in cells) for cells in zip([c.title for c in columns], *table, strict=True)]
    beside = _fit(columns, widths, console.width)
    below = [at for at in range(len(columns)) if at not in beside]
    label_width = max((cell_len(columns[at].title) for at in below), default=0)
    _print_line(console, [Text(columns[at].title, "bold") for at in beside], list(beside.values()))
    for row in table:
        _print_line(console, [styled(row[at]) for at in beside], list(beside.values()))
        for at in below:
            if row[at]:
                label = Text(f"  {columns[at].title:<{label_width}}  ", "dim")
                room = max(console.width - label.cell_len, _MIN_FREE_WIDTH)
                text = _cut(row[at], room) if columns[at].free else row[at]
                console.print(label + Text(text), soft_wrap=True)


def _print_line(console: Console, cells: Sequence[Text], widths: Sequence[int]) -> None:
    line = Text()
    for cell, width in zip(cells, widths, strict=True):
        cut = _cut(cell.plain, width)
        line.append(cut, cell.style)
        line.append(" " * (width - cell_len(cut) + _GAP))
    line.rstrip()
    console.print(line, soft_wrap=True)


def _fit(columns: Sequence[Column], widths: Sequence[int], room: int) -> dict[int, int]:
    """Returns the columns that fit on the line, with their widths. The first column always fits."""
    beside: dict[int, int] = {}
    for at, (column, width) in enumerate(zip(columns, widths, strict=True)):
        used = sum(beside.values()) + _GAP * len(beside)
        least = min(width, _MIN_FREE_WIDTH) if column.free else width
        if not beside or used + least <= room:
            beside[at] = least
    spare = room - sum(beside.values()) - _GAP * (len(beside) - 1)
    for at, width in list(beside.items()):
        if columns[at].free and spare > 0:
            more = min(spare, widths[at] - width)
            beside[at] = width + more
            spare -= more
    return beside


def _cut(text: str, width: int) -> str:
    return text if cell_len(text) <= width else set_cell_size(text, max(width - 1, 0)).rstrip() + "…"


def _one_line(cell: str) -> str:
    return " ".join("".join(char if char.isprintable() else " " for char in cell[: 4 * _MAX_TEXT]).split(" "))
