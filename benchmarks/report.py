"""Figures, how they are printed, and where they are kept."""

from __future__ import annotations

import json
import os
import platform
import sqlite3
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from rich.console import Console
from rich.table import Table

RESULTS = Path(__file__).parent / "results"


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured number. `beside`: the same by a raw limit or peer in the same run, None where there was none."""

    question: str
    case: str
    value: float
    unit: str
    beside: float | None = None
    beside_what: str = ""


def print_report(figures: Sequence[Figure]) -> None:
    """A table of what was measured so far."""
    table = Table("question", "case", "measured", "beside", "ratio")
    for figure in figures:
        beside = "" if figure.beside is None else f"{figure.beside:,.3g} {figure.unit} ({figure.beside_what})"
        ratio = "" if not figure.beside else f"{figure.value / figure.beside:.2f}"
        table.add_row(figure.question, figure.case, f"{figure.value:,.3g} {figure.unit}", beside, ratio)
    Console().print(table)


def write_results(figures: Sequence[Figure]) -> Path:
    """Keeps the figures with the machine and the versions that they were measured on."""
    now = datetime.now(UTC)
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{now:%Y-%m-%d}.json"
    machine = {
        "cpus": os.cpu_count(),
        "machine": platform.machine(),
        "python": platform.python_version(),
        "sqlite": sqlite3.sqlite_version,
        "msgspec": version("msgspec"),
        "load_before": os.getloadavg()[0],
    }
    measured = {"measured_at": now.isoformat(timespec="seconds"), "machine": machine}
    path.write_text(json.dumps({**measured, "figures": [asdict(figure) for figure in figures]}, indent=1) + "\n")
    return path
