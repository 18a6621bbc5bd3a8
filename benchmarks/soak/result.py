"""What a soak measured, its verdict, its file, its page and its plot."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from statistics import fmean
from textwrap import fill
from typing import Any

from benchmarks.harness.plot import Chart, line_charts
from benchmarks.soak.flatness import CHANCE, FEWEST, TOLERANCE, Flatness, flatness

RATE = "work: entries a second"
_MADE = "<!-- made by `nox -s soak`: edit benchmarks/soak/result.py instead -->"
_KEPT_FOR_A_TIME = ("log: entries", "log: idempotency keys", "log: invocations")
"""What retention leaves of recent work, so there is more of it when more is done."""

_PLOTTED = ("MiB", "entries", "checkpoints", "descriptors", "threads", "ended", "second")
_SERIES_KEPT = 120
"""Points of each series in the file."""

Series = Mapping[str, Sequence[tuple[float, float]]]
"""Points (minute, value) by name."""


@dataclass(slots=True)
class Measured:
    """`left_open`: invocations that never ended; `audits_too_late`: audits that missed entries already removed."""

    seconds: float = 0.0
    entries: int = 0
    left_open: int = 0
    audits: int = 0
    audits_too_late: int = 0
    violations: dict[str, int] = field(default_factory=dict)
    first_violations: list[Any] = field(default_factory=list)
    series: dict[str, list[tuple[float, float]]] = field(default_factory=dict)


def evaluated(series: Series, *, retention_minutes: float) -> dict[str, Flatness]:
    """The flatness of each series by name, except of the rate of work."""
    rates = series.get(RATE, ())
    found = {}
    for name, points in sorted(series.items()):
        if name != RATE:
            scaled = [
                value * (_usual_share(minute, rates, retention_minutes) if name in _KEPT_FOR_A_TIME else 1.0)
                for minute, value in points
            ]
            found[name] = flatness([minute for minute, _ in points], scaled, grain=_grain(name))
    return found


def _usual_share(minute: float, rates: Sequence[tuple[float, float]], retention_minutes: float) -> float:
    """The mean rate of work divided by the rate of the work that is kept at this minute; 1 if that is unknown."""
    kept = [rate for time, rate in rates if minute - retention_minutes <= time <= minute]
    if not kept or not any(kept):
        return 1.0
    return fmean(rate for _, rate in rates) / fmean(kept)


def result_of(measured: Measured, machine: Mapping[str, Any], load: Mapping[str, Any]) -> dict[str, Any]:
    """The file of a soak, as JSON values."""
    series = {name: _thinned(points) for name, points in sorted(measured.series.items())}
    counts = {name: value for name, value in asdict(measured).items() if name not in {"seconds", "series"}}
    return {
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": dict(machine),
        "load": dict(load),
        "minutes": round(measured.seconds / 60, 2),
        **counts,
        **verdicts_of(series, load),
        "series": series,
    }


def verdicts_of(series: Series, load: Mapping[str, Any]) -> dict[str, Any]:
    """What follows from the samples in the file, as JSON values."""
    verdicts = evaluated(series, retention_minutes=load["retention_minutes"])
    return {
        "flat": all(verdict.flat for verdict in verdicts.values()),
        "verdicts": {name: _rounded(verdict) for name, verdict in verdicts.items()},
    }


def _rounded(verdict: Flatness) -> dict[str, Any]:
    numbers = {name: round(value, 4) for name, value in asdict(verdict).items()}
    return {**numbers, "flat": verdict.flat}


def is_good(result: Mapping[str, Any]) -> bool:
    """True if all is flat, all work ended, and audits saw every entry and found nothing."""
    return bool(
        result["flat"] and not result["violations"] and not result["left_open"] and not result["audits_too_late"]
    )


def write(result: Mapping[str, Any], folder: Path) -> None:
    """`soak.json`, `soak.svg` and `soak.md`."""
    compact = json.dumps(result["series"], separators=(",", ":")).replace("]],", "]],\n  ")
    rest = json.dumps({name: value for name, value in result.items() if name != "series"}, indent=1)
    (folder / "soak.json").write_text(f'{rest[:-2]},\n "series": {compact}\n}}\n', encoding="utf-8")
    (folder / "soak.svg").write_text(plot(result), encoding="utf-8")
    (folder / "soak.md").write_text(page(result), encoding="utf-8")


def plot(result: Mapping[str, Any]) -> str:
    """The series worth a picture, with their verdicts."""
    charts = []
    for name, series in result["series"].items():
        if any(word in name for word in _PLOTTED):
            verdict = result["verdicts"].get(name)
            note = "" if verdict is None else "flat" if verdict["flat"] else "NOT FLAT"
            charts.append(Chart(name, series, note=note))
    return line_charts(f"Soak: {result['minutes']:.0f} minutes, {result['entries']:,} entries", charts, columns=3)


def page(result: Mapping[str, Any]) -> str:
    """The page of the documentation."""
    paragraphs = ["# Soak", _MADE, *(fill(text, 130) for text in _texts(result)), "![Each series over time](soak.svg)"]
    end = "All samples: [soak.json](soak.json). Again: `nox -s soak`, or shorter: `nox -s soak -- --minutes 10`."
    return "\n\n".join([*paragraphs, "\n".join(_table(result["verdicts"])), end]) + "\n"


def _texts(result: Mapping[str, Any]) -> list[str]:
    load, machine = result["load"], result["machine"]
    what = f"""{result["minutes"]:.0f} minutes of mixed load on {load["store"]}: {load["runners"]} runners, a third one
        that comes and goes, {load["emitters"]} processes that emit {load["events_a_second"]:g} events a second together
        and call tasks, and one that reads the history every second. Entries are kept for
        {load["retention_minutes"]:g} minutes. The load has filters, ANDs over events and over one task, ORs, schedules,
        chains, retries, failures, rejected runs, delays, cancels, reruns and keys; tasks run on the event loop, in
        threads and in child processes."""
    verdict = f"""**{"Flat" if result["flat"] else "Not flat"}**. A series is not flat if it rises by more than
        {TOLERANCE:.0%} of its level over the second half of the run, and has a trend. The rise is the median slope
        between all pairs of samples, of which there must be {FEWEST}. Rises of less than two descriptors or files, ten
        threads (a pool grows to its limit when all of its threads are busy) or one MiB do not count. There is a trend
        if a series without one would rise as much in less than {CHANCE:.0%} of all cases (Mann-Kendall test). Entries,
        keys and invocations that are kept for a time grow with the rate of work, so they are scaled to the mean rate of
        the run."""
    audits = f"""{result["entries"]:,} entries were written, and {result["left_open"]} invocations never ended.
        {result["audits"]} audits ran during the load: {result["audits_too_late"]} began after entries were removed that
        no audit had seen, and {sum(result["violations"].values()):,} violations were found."""
    where = f"""Measured {result["measured_at"][:10]} at commit `{machine["commit"]}`: Python {machine["python"]},
        SQLite {machine["sqlite"]}, {machine["cpus"]} cores ({machine["processor"]}), shared with other work."""
    return [" ".join(text.split()) for text in (what, verdict, audits, where)]


def _table(verdicts: Mapping[str, Any]) -> list[str]:
    rows = ["| series | level | rise over the second half | allowed | by chance | |", "|---|---:|---:|---:|---:|---|"]
    for name, verdict in verdicts.items():
        word = "flat" if verdict["flat"] else "**not flat**"
        figures = (f"{verdict['level']:,.2f}", f"{verdict['rise']:+,.2f}", f"{verdict['allowed']:,.2f}")
        rows.append(f"| {name} | {' | '.join(figures)} | {verdict['chance']:.2f} | {word} |")
    return rows


def _grain(name: str) -> float:
    """A rise that does not matter for this kind of series, such as pages of memory, or a pool of threads."""
    if name.endswith("MiB"):
        return 1.0
    if name.endswith("KiB"):
        return 16.0
    if name.endswith("threads"):
        return 10.0
    return 20.0 if "not ended" in name else 2.0


def _thinned(series: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    every = max(1, len(series) // _SERIES_KEPT)
    return list(series[::every])
