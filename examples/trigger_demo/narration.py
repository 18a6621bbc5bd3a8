"""What the demo says in the terminal: what was done, what fired, and why, as the history tells it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from trigger_engine.history import InvocationRecord, ParticipantRecord, TriggerRunRecord

STYLES = {"emit": "cyan", "write": "cyan", "tick": "magenta", "fire": "green", "end": "bold", "note": "dim"}


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a scenario went. `took`: seconds."""

    title: str
    shows: str
    happened: bool
    told: str
    took: float


class Narrator:
    """Writes to the terminal, one line for each thing that happened."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def begin(self, number: int, title: str, shows: str) -> None:
        """Starts a scenario."""
        self._console.print()
        self._line(f"{number}  {title}", style="bold")
        self._line(f"   {shows}", style="dim")

    def say(self, what: str, text: str) -> None:
        """One thing that happened; `what` is a key of STYLES."""
        self._console.print(Text.assemble(("   " + what.ljust(6), STYLES[what]), text), soft_wrap=True, highlight=False)

    def fired(self, run: TriggerRunRecord, times: int = 1) -> None:
        """A trigger run, and which conditions it had met."""
        self.say("fire", f"{short(run.task_id)}{f' × {times}' if times > 1 else ''}, because {why(run.participants)}")

    def failed(self, reason: str) -> None:
        """Why the running scenario counts as not happened."""
        self._line(f"   did not happen: {reason}", style="bold red")

    def end(self, outcomes: Sequence[Outcome], digest: Sequence[Path], log: Path | None) -> None:
        """The summary table, and where to look."""
        table = Table(title="What happened", title_justify="left")
        for column in ("Scenario", "Shows", "Outcome"):
            table.add_column(column)
        table.add_column("Took", justify="right")
        for outcome in outcomes:
            mark = Text("✓ ", "green") if outcome.happened else Text("✗ ", "bold red")
            table.add_row(outcome.title, outcome.shows, Text.assemble(mark, outcome.told), f"{outcome.took:.1f} s")
        self._console.print()
        self._console.print(table)
        for page in digest:
            self._line(f"Digest: {page}")
        if log is not None:
            self._line(f"Runner's log: {log}", style="dim")

    def stay(self, address: str) -> None:
        """Where the monitor is, and how to end."""
        self._line(f"Monitor: {address}   (Ctrl-C ends it)", style="bold")

    def _line(self, text: str, style: str = "") -> None:
        self._console.print(Text(text, style), soft_wrap=True, highlight=False)


def why(participants: Sequence[ParticipantRecord]) -> str:
    """The conditions of a trigger run, each with how many entries met it, and for a schedule the time."""
    counts = Counter(one.condition_id for one in participants)
    times = {one.condition_id: one.scheduled_for for one in participants if one.scheduled_for is not None}
    told = []
    for condition_id, count in counts.items():
        at = f" at {times[condition_id]:%H:%M:%S} UTC" if condition_id in times else ""
        told.append(f"{condition_id}{at}{f' ({count} times)' if count > 1 else ''}")
    return " and ".join(told)


def ended(invocation: InvocationRecord) -> str:
    """An invocation's end in one line."""
    if invocation.exception_type is not None and invocation.status != "success":
        return f"{short(invocation.task_id)} {invocation.status}: {invocation.exception_type}"
    return f"{short(invocation.task_id)} {invocation.status}"


def short(task_id: str) -> str:
    """A task's own name."""
    return task_id.rpartition(".")[2]
