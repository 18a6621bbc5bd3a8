"""The demo's terminal output: what was done, what fired, and why, according to the history."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from trigger_engine import InvocationRecord, ParticipantRecord, TriggerRunRecord

STYLES = {"emit": "cyan", "write": "cyan", "tick": "magenta", "fire": "green", "end": "bold", "note": "dim"}


@dataclass(frozen=True, slots=True)
class Outcome:
    """The result of a scenario. `took`: seconds."""

    title: str
    shows: str
    succeeded: bool
    summary: str
    took: float


class Narrator:
    """Writes to the terminal, one line per step."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def begin(self, number: int, title: str, shows: str) -> None:
        """Prints the heading of a scenario."""
        self._console.print()
        self._line(f"{number}  {title}", style="bold")
        self._line(f"   {shows}", style="dim")

    def say(self, what: str, text: str) -> None:
        """Prints a step. `what`: a key of STYLES."""
        self._console.print(Text.assemble(("   " + what.ljust(6), STYLES[what]), text), soft_wrap=True, highlight=False)

    def fired(self, run: TriggerRunRecord, times: int = 1) -> None:
        """Prints a trigger run and the conditions that fired it."""
        self.say("fire", f"{short(run.task_id)}{f' × {times}' if times > 1 else ''}, because {why(run.participants)}")

    def failed(self, reason: str) -> None:
        """Prints why the current scenario failed."""
        self._line(f"   failed: {reason}", style="bold red")

    def end(self, outcomes: Sequence[Outcome], digest: Sequence[Path], log: Path | None) -> None:
        """Prints the summary table and the paths of the output."""
        table = Table(title="Summary", title_justify="left")
        for column in ("Scenario", "Shows", "Outcome"):
            table.add_column(column)
        table.add_column("Took", justify="right")
        for outcome in outcomes:
            mark = Text("✓ ", "green") if outcome.succeeded else Text("✗ ", "bold red")
            table.add_row(outcome.title, outcome.shows, Text.assemble(mark, outcome.summary), f"{outcome.took:.1f} s")
        self._console.print()
        self._console.print(table)
        for page in digest:
            self._line(f"Digest: {page}")
        if log is not None:
            self._line(f"Runner's log: {log}", style="dim")

    def stay(self, address: str) -> None:
        """Prints the address of the monitor and how to stop."""
        self._line(f"Monitor: {address}   (press Ctrl-C to stop)", style="bold")

    def _line(self, text: str, style: str = "") -> None:
        self._console.print(Text(text, style), soft_wrap=True, highlight=False)


def why(participants: Sequence[ParticipantRecord]) -> str:
    """The conditions of a trigger run, with the time of a schedule and the number of entries that met each."""
    counts = Counter(one.condition_id for one in participants)
    times = {one.condition_id: one.scheduled_for for one in participants if one.scheduled_for is not None}
    summary = []
    for condition_id, count in counts.items():
        at = f" at {times[condition_id]:%H:%M:%S} UTC" if condition_id in times else ""
        summary.append(f"{condition_id}{at}{f' ({count} times)' if count > 1 else ''}")
    return " and ".join(summary)


def ended(invocation: InvocationRecord) -> str:
    """The outcome of an invocation in one line."""
    if invocation.exception_type is not None and invocation.status != "success":
        return f"{short(invocation.task_id)} {invocation.status}: {invocation.exception_type}"
    return f"{short(invocation.task_id)} {invocation.status}"


def short(task_id: str) -> str:
    """The last part of a task id."""
    return task_id.rpartition(".")[2]
