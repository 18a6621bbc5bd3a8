"""Results as data: one JSON file per day, with the machine and the versions of each benchmark."""

from __future__ import annotations

import json
import os
import platform
import sqlite3
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from benchmarks.harness.measuring import Figure

RESULTS = Path(__file__).parents[1] / "results"
_PACKAGES = ("aiosqlite", "anyio", "msgspec", "uvloop")


class NoResults(Exception):
    """No results are stored yet."""


def write_results(question: str, figures: Sequence[Figure], machine: Mapping[str, Any], folder: Path = RESULTS) -> Path:
    """Stores the figures of one benchmark in today's file, replacing those it had for that benchmark."""
    now = datetime.now(UTC)
    folder.mkdir(exist_ok=True)
    path = folder / f"{now:%Y-%m-%d}.json"
    kept = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    measured = [{name: value for name, value in asdict(one).items() if name != "question"} for one in figures]
    kept[question] = {
        "measured_at": now.isoformat(timespec="seconds"),
        "machine": dict(machine),
        "figures": [{**one, "runs": _rounded(one["runs"]), "beside": _rounded(one["beside"])} for one in measured],
    }
    path.write_text(as_text(kept), encoding="utf-8")
    return path


def as_text(results: Mapping[str, Any]) -> str:
    """JSON with one figure per line."""
    questions = []
    for question, kept in sorted(results.items()):
        figures = ",\n  ".join(json.dumps(figure) for figure in kept["figures"])
        head = "".join(f' "{name}": {json.dumps(kept[name])},\n' for name in ("measured_at", "machine"))
        questions.append(f'"{question}": {{\n{head} "figures": [\n  {figures}\n ]\n}}')
    return "{\n" + ",\n".join(questions) + "\n}\n"


def newest_results(folder: Path = RESULTS) -> dict[str, Any]:
    """The newest results of each benchmark. Raises NoResults."""
    found: dict[str, Any] = {}
    for path in sorted(folder.glob("*.json")):
        found |= json.loads(path.read_text(encoding="utf-8"))
    if not found:
        raise NoResults(f"no results in {folder}: run `python -m benchmarks --write`")
    return found


def figures_of(results: Mapping[str, Any], question: str) -> list[Figure]:
    """The stored figures of one benchmark."""
    return [
        Figure(question, **{**one, "runs": tuple(one["runs"]), "beside": tuple(one["beside"]), "lines": _points(one)})
        for one in results.get(question, {"figures": ()})["figures"]
    ]


def _points(figure: Mapping[str, Any]) -> dict[str, list[tuple[float, float]]]:
    return {name: [(x, y) for x, y in points] for name, points in figure["lines"].items()}


def machine(packages: Sequence[str] = ()) -> dict[str, Any]:
    """Processor, versions, commit, and the load before the run. `packages`: further ones whose versions matter."""
    return {
        "cpus": os.cpu_count(),
        "processor": _processor(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "sqlite": sqlite3.sqlite_version,
        **{name: _version(name) for name in _PACKAGES},
        "commit": _commit(),
        "packages": {name: _version(name) for name in packages},
        "load_before": round(os.getloadavg()[0], 2) if sys.platform != "win32" else None,
    }


def _rounded(values: Sequence[float]) -> list[float]:
    return [float(f"{value:.6g}") for value in values]


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown")


def _commit() -> str | None:
    """The commit, followed by `+` if files differ from it."""
    command = ["git", "describe", "--always", "--abbrev=12", "--dirty=+"]
    try:
        done = subprocess.run(command, cwd=RESULTS.parent, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()
