"""`trigger-engine audit`: proves from the whole log that nothing was lost, doubled or made up."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import typer
from rich.console import Console
from rich.progress import Progress
from rich.text import Text

from trigger_engine.audit import AuditReport, Offence, audit
from trigger_engine.audit.auditing import Progress as Tell
from trigger_engine.cli.app_loading import AppArgument, load_shared_app
from trigger_engine.cli.output import JsonOption, print_json, print_text
from trigger_engine.runner.task_modules import TaskModules

command = typer.Typer(rich_markup_mode=None, add_completion=False)


@command.command(name="audit")
def audit_app(app: AppArgument = None, *, as_json: JsonOption = False) -> None:
    """Prove from the whole log that nothing was lost, doubled or made up.

    Reads every entry, works out again what had to follow, and compares. Changes nothing, and may run beside runners.
    Exits with 1 when something is off.
    """
    loaded = load_shared_app(app, "audit")
    TaskModules(loaded).import_configured()
    with _progress() as tell:
        report = asyncio.run(audit(loaded, progress=tell))
    if as_json:
        print_json({"balances": report.balances, "report": report})
    else:
        print_text(*_lines(report))
    if not report.balances:
        raise typer.Exit(1)


@contextmanager
def _progress() -> Iterator[Tell | None]:
    """A progress bar on standard error, where that is a terminal."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield None
        return
    with Progress(console=console, transient=True) as bar:
        task = bar.add_task("Auditing", total=None)
        yield lambda reached, last: bar.update(task, completed=reached, total=last)


def _lines(report: AuditReport) -> Iterator[Text | str]:
    after = " (what stood before was trimmed)" if report.trimmed else ""
    yield f"Read the log from {report.start + 1:,} to {report.upto:,}{after}, judged up to {report.judged_upto:,}."
    yield from _counts("entries", report.entries)
    yield from _counts("checked", report.checked)
    yield from _counts("outcomes, one for each entry and trigger that listens to it", report.outcomes)
    yield from _counts("void entries", report.void)
    yield from _counts("could not be verified", report.unverifiable, "yellow")
    yield from _counts("off", report.offence_counts, "red")
    for offence in report.offences:
        yield from _offence_lines(offence)
    total = sum(report.offence_counts.values())
    if total > len(report.offences):
        yield f"and {total - len(report.offences):,} more."
    yield ""
    yield Text(f"{total:,} things are off.", "bold red") if total else Text("The books balance.", "bold green")


def _counts(title: str, counts: Mapping[str, int], style: str = "") -> Iterator[Text | str]:
    if counts:
        yield ""
        yield Text(title, f"bold {style}".strip())
        width = max(len(f"{count:,}") for count in counts.values())
        for name, count in counts.items():
            yield Text.assemble(f"  {count:>{width},}  ", name)


def _offence_lines(offence: Offence) -> Iterator[Text | str]:
    yield ""
    yield Text.assemble((f"{offence.check}  ", "red"), f"at {offence.position:,}  {offence.entry_id}")
    yield f"  {offence.wrong}"
    for name, text in (("expected", offence.expected), ("found", offence.found)):
        if text:
            yield Text.assemble((f"  {name}  ", "dim"), text)
