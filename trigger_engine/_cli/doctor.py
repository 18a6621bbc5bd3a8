"""`trigger-engine doctor`: finds what keeps triggers from firing, and how to fix it."""

from __future__ import annotations

import asyncio
import os
import sys
from collections import Counter
from collections.abc import Iterable
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version

import typer
from rich.table import Table
from rich.text import Text

from trigger_engine._app.app import TriggerEngine
from trigger_engine._cli.app_loading import AppArgument, load_app
from trigger_engine._cli.code_checks import check_code
from trigger_engine._cli.data_checks import check_data, gather
from trigger_engine._cli.failures import UserCodeFailed, message_lines, user_traceback
from trigger_engine._cli.finding import Finding, failed, ok, warning
from trigger_engine._cli.output import JsonOption, print_json, print_text, styled
from trigger_engine._storage.sqlite.file_system import check_file_system
from trigger_engine.errors import (
    BackendNotInstalled,
    BackendUnavailable,
    ConfigError,
    SerializationError,
    TriggerEngineError,
)

command = typer.Typer(rich_markup_mode=None, add_completion=False)


@command.command()
def doctor(app: AppArgument = None, *, as_json: JsonOption = False) -> None:
    """Find what keeps triggers from firing, and how to fix it.

    Imports the app and its trigger_task_modules as a runner does. Changes nothing. Exits with 1 if a check fails;
    warnings do not count.
    """
    findings: list[Finding] = []
    loaded = _load(app, findings)
    if loaded is not None:
        if as_json:
            findings.append(ok("configuration", "; ".join(f"{name}: {value}" for name, value in _facts(loaded))))
        else:
            print_text(_head(loaded), "")
        findings += check_code(loaded)
        findings += asyncio.run(_check_data(loaded, app or "")) if _is_shared(loaded) else []
    if as_json:
        print_json(*findings)
    else:
        print_text(_table(findings), "", _summary(findings))
    if any(finding.level == "failed" for finding in findings):
        raise typer.Exit(1)


def _load(target: str | None, findings: list[Finding]) -> TriggerEngine | None:
    """Loads the app, or adds a finding that explains why that failed."""
    try:
        return load_app(target)
    except UserCodeFailed as exc:
        sys.stderr.write(user_traceback(exc.error))
        findings.append(failed("app", str(exc), "see the traceback"))
    except BackendNotInstalled as exc:
        findings.append(failed("plugin", str(exc), "install it wherever runners and emitters run"))
    except ConfigError as exc:
        findings.append(failed("configuration", "\n".join(message_lines(exc)), "docs/configuration.md lists every key"))
    except TriggerEngineError as exc:
        findings.append(failed("declarations", "\n".join(message_lines(exc)), "correct it where it is declared"))
    return None


def _is_shared(app: TriggerEngine) -> bool:
    return app._internals.config.backend_type.shared_between_processes


async def _check_data(app: TriggerEngine, target: str) -> list[Finding]:
    try:
        absent = _absent_file(app)
        if absent is not None:
            return [absent]
        async with app, app.history() as history:
            facts = await gather(app, target, history, datetime.now(UTC))
            await _check_writable(app)
            reached = f"{_location(app)} is reachable, its log ends at position {facts.overview.position:,}"
            return [ok("backend", reached), *await _of_the_backend(app), *check_data(facts)]
    except (BackendUnavailable, ConfigError, SerializationError) as exc:
        return [
            failed(
                "backend", str(exc), f"check that {app._internals.config.backend_type.name} is running as configured"
            )
        ]


async def _check_writable(app: TriggerEngine) -> None:
    """Writes without changing anything: nobody holds this lease. Raises BackendUnavailable."""
    session = await app._internals.connections.session()
    await session.log.release("doctor", "doctor")


async def _of_the_backend(app: TriggerEngine) -> list[Finding]:
    """Runs the backend's own checks of its server or system."""
    checks = await app._internals.connections.backend.check()
    return [Finding(check.level, "backend", check.text, check.fix) for check in checks]


def _absent_file(app: TriggerEngine) -> Finding | None:
    """Returns a finding for a missing SQLite file; `doctor` must not create it."""
    path = getattr(app._internals.config.backend_settings, "sqlite_db_path", None)
    if path is None or os.path.exists(path) or not os.path.isdir(os.path.dirname(path)):
        return None
    check_file_system(path)
    return warning(
        "backend",
        f"{path} does not exist yet: no event was emitted and no runner started with this configuration",
        "emit an event or start a runner; if you did, it used another file: see sqlite_db_path and the current folder",
    )


def _location(app: TriggerEngine) -> str:
    return app._internals.connections.backend.location()


def _facts(app: TriggerEngine) -> list[tuple[str, str]]:
    return [
        ("trigger-engine", _version()),
        ("app id", f"{app.app_id} (from: {app._internals.config.sources['app_id']})"),
        ("configuration", str(app._internals.config.config_file or f"no file, from {app._internals.config.root}")),
        ("data", f"{_location(app)} ({app._internals.config.backend_type.name})"),
    ]


def _head(app: TriggerEngine) -> Table:
    table = Table.grid(padding=(0, 2, 0, 0))
    for name, value in _facts(app):
        table.add_row(Text(name, "dim"), Text(value, overflow="fold"))
    return table


def _version() -> str:
    try:
        return version("trigger-engine")
    except PackageNotFoundError:
        return "(not installed)"


def _table(findings: Iterable[Finding]) -> Table:
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    for finding in findings:
        text = Text(finding.text, overflow="fold")
        if finding.fix is not None:
            text.append(f"\n{finding.fix}", "dim")
        table.add_row(styled(finding.level), finding.check, text)
    return table


def _summary(findings: Iterable[Finding]) -> Text:
    counts = Counter(finding.level for finding in findings)
    warnings = "1 warning" if counts["warning"] == 1 else f"{counts['warning']} warnings"
    return Text(f"{counts['failed']} failed, {warnings}, {counts['ok']} ok", "bold")
