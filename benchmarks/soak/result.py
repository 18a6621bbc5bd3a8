"""The verdict on a soak, its file, its page and its plot."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from statistics import fmean
from textwrap import fill
from typing import Any

from benchmarks.plot import Chart, Line, line_charts
from benchmarks.soak.flatness import CHANCE, FEWEST, TOLERANCE, Flatness, flatness
from benchmarks.soak.running import Measured

_MADE = "<!-- made by `nox -s soak`: edit benchmarks/soak/result.py instead -->"
_RATES = "work: entries a second"
_KEPT_FOR_A_TIME = ("log: entries", "log: idempotency keys", "log: invocations")
"""What retention leaves of the newest work: there is more of it when more is done."""

_PLOTTED = ("MiB", "entries", "checkpoints", "descriptors", "threads", "ended", "second")
_SERIES_KEPT = 120
"""Points of each series that the file keeps."""


def judged(series: Mapping[str, Sequence[tuple[float, float]]], *, retention_minutes: float) -> dict[str, Flatness]:
    """By name. The rate of work is shown, not judged."""
    rates = series.get(_RATES, ())
    return {
        name: flatness(
            [time for time, _ in points],
            [
                value * (_share_of_usual_work(time, rates, retention_minutes) if name in _KEPT_FOR_A_TIME else 1.0)
                for time, value in points
            ],
            grain=_grain(name),
        )
        for name, points in sorted(series.items())
        if name != _RATES
    }


def _share_of_usual_work(minute: float, rates: Sequence[tuple[float, float]], retention_minutes: float) -> float:
    """The mean rate of work, divided by that of the time whose work is kept then; 1 where nothing is known of it."""
    kept = [rate for time, rate in rates if minute - retention_minutes <= time <= minute]
    if not kept or not any(kept):
        return 1.0
    return fmean(rate for _, rate in rates) / fmean(kept)


def result_of(measured: Measured, machine: Mapping[str, Any], load: Mapping[str, Any]) -> dict[str, Any]:
    """All that is worth keeping, as JSON values."""
    series = {name: _thinned(points) for name, points in sorted(measured.series.items())}
    return {
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": dict(machine),
        "load": dict(load),
        "minutes": round(measured.seconds / 60, 2),
        "entries": measured.entries,
        "left_open": measured.left_open,
        "audits": measured.audits,
        "audits_too_late": measured.audits_too_late,
        "offences": measured.offences,
        "first_offences": measured.first_offences,
        **verdicts_of(series, load),
        "series": series,
    }


def verdicts_of(series: Mapping[str, Sequence[tuple[float, float]]], load: Mapping[str, Any]) -> dict[str, Any]:
    """What follows from the samples that are kept, as JSON values."""
    verdicts = judged(series, retention_minutes=load["retention_minutes"])
    return {
        "flat": all(verdict.flat for verdict in verdicts.values()),
        "verdicts": {name: _rounded(verdict) for name, verdict in verdicts.items()},
    }


def _rounded(verdict: Flatness) -> dict[str, Any]:
    numbers = {name: round(value, 4) for name, value in asdict(verdict).items()}
    return {**numbers, "flat": verdict.flat}


def is_good(result: Mapping[str, Any]) -> bool:
    """Flat, all work ended, every entry seen by an audit, and nothing off."""
    return bool(result["flat"] and not result["offences"] and not result["left_open"] and not result["audits_too_late"])


def write(result: Mapping[str, Any], folder: Path) -> None:
    """`soak.json`, `soak.svg` and `soak.md`."""
    compact = json.dumps(result["series"], separators=(",", ":")).replace("]],", "]],\n  ")
    rest = json.dumps({name: value for name, value in result.items() if name != "series"}, indent=1)
    (folder / "soak.json").write_text(f'{rest[:-2]},\n "series": {compact}\n}}\n', encoding="utf-8")
    (folder / "soak.svg").write_text(plot(result), encoding="utf-8")
    (folder / "soak.md").write_text(page(result), encoding="utf-8")


def plot(result: Mapping[str, Any]) -> str:
    """Each series that is worth a picture, with its verdict."""
    charts = []
    for name, series in result["series"].items():
        if any(word in name for word in _PLOTTED):
            verdict = result["verdicts"].get(name)
            note = "" if verdict is None else "flat" if verdict["flat"] else "NOT FLAT"
            charts.append(Chart(name, [Line(name, [(x, y) for x, y in series])], note=note))
    return line_charts(f"Soak: {result['minutes']:.0f} minutes, {result['entries']:,} entries", charts, columns=3)


def page(result: Mapping[str, Any]) -> str:
    """The page of the documentation."""
    paragraphs = ["# Soak", _MADE, *(fill(text, 130) for text in _texts(result)), "![Each series over time](soak.svg)"]
    end = "All samples: [soak.json](soak.json). Again: `nox -s soak`, or shorter: `nox -s soak -- --minutes 10`."
    return "\n\n".join([*paragraphs, "\n".join(_table(result["verdicts"])), end]) + "\n"


def _texts(result: Mapping[str, Any]) -> list[str]:
    load, machine = result["load"], result["machine"]
    what = f"""{result["minutes"]:.0f} minutes of mixed load on {load["store"]}: {load["runners"]} runners and a third
        one that comes and goes, {load["emitters"]} processes that emit {load["events_a_second"]:g} events a second
        together and call tasks beside, and one that reads the history every second. Entries are kept for
        {load["retention_minutes"]:g} minutes. The load has filters, ANDs over events and over one task, ORs, schedules,
        chains, retries, failures, rejected runs, delays, cancels, reruns and keys; tasks run on the event loop, in
        threads and in child processes."""
    verdict = f"""**{"Flat" if result["flat"] else "Not flat"}**. A series is not flat when it rises by more than
        {TOLERANCE:.0%} of its level over the second half of the run, and has a trend. The rise is the median of the
        slopes between all pairs of samples, of which there must be {FEWEST}; less than two descriptors or files, ten
        threads (a pool grows to its limit when all of its threads are busy), or one MiB, is none. It has a trend when
        a series without one would show as much in less than {CHANCE:.0%} of all cases (Mann and Kendall). Entries,
        keys and invocations that are kept for a time are more when more is done: these are judged as they would be if
        the work of that time had been done at the mean rate of the run."""
    audits = f"""{result["entries"]:,} entries were written, and {result["left_open"]} invocations were left open.
        {result["audits"]} audits went along: {result["audits_too_late"]} came after entries had gone that none had
        seen, {sum(result["offences"].values()):,} things were off."""
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
    """What is nothing for this kind: some pages of memory, a pool of threads that grows to its limit, a burst."""
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
