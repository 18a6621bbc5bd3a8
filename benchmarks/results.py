"""Where figures are kept: one JSON file a day, each question with the machine and the versions that it ran on."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.harness import Figure

RESULTS = Path(__file__).parent / "results"
_LIST = re.compile(r"\[[-+.\deE,\s]*\]")
"""A list of numbers: it takes one line."""


class NoResults(Exception):
    """Nothing was measured yet."""


def write_results(question: str, figures: Sequence[Figure], machine: Mapping[str, Any], folder: Path = RESULTS) -> Path:
    """Puts the figures of one question into today's file, in the place of older ones of that question."""
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
    text = json.dumps(dict(sorted(kept.items())), indent=1)
    path.write_text(_LIST.sub(lambda found: " ".join(found[0].split()), text) + "\n", encoding="utf-8")
    return path


def newest_results(folder: Path = RESULTS) -> dict[str, Any]:
    """The newest measurement of each question. Raises NoResults."""
    found: dict[str, Any] = {}
    for path in sorted(folder.glob("*.json")):
        found |= json.loads(path.read_text(encoding="utf-8"))
    if not found:
        raise NoResults(f"no results in {folder}: run `python -m benchmarks --write`")
    return found


def figures_of(results: Mapping[str, Any], question: str) -> list[Figure]:
    """The figures of one question as they were measured."""
    return [
        Figure(
            question,
            one["case"],
            one["unit"],
            tuple(one["runs"]),
            tuple(one["beside"]),
            one["beside_what"],
            {name: [(x, y) for x, y in points] for name, points in one["lines"].items()},
        )
        for one in results.get(question, {"figures": ()})["figures"]
    ]


def _rounded(values: Sequence[float]) -> list[float]:
    """Six digits are more than any of these figures has."""
    return [float(f"{value:.6g}") for value in values]
