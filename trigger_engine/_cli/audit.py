"""`trigger-engine audit`: checks the whole log for lost, duplicated or invented entries."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import typer
from rich.console import Console
from rich.progress import Progress
from rich.text import Text

from trigger_engine._audit.auditing import Progress as ReportProgress
from trigger_engine._audit.auditing import audit
from trigger_engine._audit.report import AuditReport, Violation
from trigger_engine._cli.app_loading import AppArgument, load_shared_app
from trigger_engine._cli.output import JsonOption, print_json, print_text
from trigger_engine._runtime.task_modules import TaskModules

command = typer.Typer(rich_markup_mode=None, add_completion=False)


@command.command(name="audit")
def audit_app(app: AppArgument = None, *, as_json: JsonOption = False) -> None:
    """Check the whole log: nothing was lost, duplicated or invented.

    Reads every entry, evaluates it again and compares the result with the log. Changes nothing and may run while
    runners are working. Exits with 1 if there are violations.
    """
    loaded = load_shared_app(app, "audit")
    TaskModules(loaded._internals).import_configured()
    with _progress() as progress:
        report = asyncio.run(audit(loaded, progress=progress))
    if as_json:
        print_json({"consistent": report.consistent, "report": report})
    else:
        print_text(*_lines(report))
    if not report.consistent:
        raise typer.Exit(1)


@contextmanager
def _progress() -> Iterator[ReportProgress | None]:
    """Shows a progress bar on standard error if that is a terminal."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield None
        return
    with Progress(console=console, transient=True) as bar:
        task = bar.add_task("Auditing", total=None)
        yield lambda reached, last: bar.update(task, completed=reached, total=last)


def _lines(report: AuditReport) -> Iterator[Text | str]:
    after = " (earlier entries were trimmed)" if report.trimmed else ""
    start, upto, evaluated_upto = report.start + 1, report.upto, report.evaluated_upto
    yield f"Read the log from {start:,} to {upto:,}{after}, evaluated up to {evaluated_upto:,}."
    yield from _counts("entries", report.entries)
    yield from _counts("checked", report.checked)
    yield from _counts("outcomes, one for each entry and trigger listening to it", report.outcomes)
    yield from _counts("void entries", report.void)
    yield from _counts("could not be verified", report.unverifiable, "yellow")
    yield from _counts("violations", report.violation_counts, "red")
    for violation in report.violations:
        yield from _violation_lines(violation)
    total = sum(report.violation_counts.values())
    if total > len(report.violations):
        yield f"and {total - len(report.violations):,} more."
    yield ""
    if total:
        yield Text(f"{total:,} violation{'s' if total > 1 else ''} found.", "bold red")
    else:
        yield Text("The log is consistent.", "bold green")


def _counts(title: str, counts: Mapping[str, int], style: str = "") -> Iterator[Text | str]:
    if counts:
        yield ""
        yield Text(title, f"bold {style}".strip())
        width = max(len(f"{count:,}") for count in counts.values())
        for name, count in counts.items():
            yield Text.assemble(f"  {count:>{width},}  ", name)


def _violation_lines(violation: Violation) -> Iterator[Text | str]:
    yield ""
    yield Text.assemble((f"{violation.check}  ", "red"), f"at {violation.position:,}  {violation.entry_id}")
    yield f"  {violation.problem}"
    for name, text in (("expected", violation.expected), ("found", violation.found)):
        if text:
            yield Text.assemble((f"  {name}  ", "dim"), text)
