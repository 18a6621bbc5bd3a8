"""Audits a log: reads all of it and reports whether it is consistent."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Protocol

from trigger_engine._app.app import TriggerEngine
from trigger_engine._audit.auditor import Auditor
from trigger_engine._audit.join_state import AuditLimits
from trigger_engine._audit.report import AuditReport, Findings
from trigger_engine._audit.uniqueness import Uniqueness
from trigger_engine._audit.user_code import UserCode
from trigger_engine._model.entries import Position, RetentionApplied
from trigger_engine.backend._contract import Batch, Cursor

Progress = Callable[[Position, Position], Any]
"""Called with the position reached and the last position."""

_BATCH = 1_000
_WAIT = 5.0


class ReadableLog(Protocol):
    """The part of `EventLog` that an audit uses."""

    @property
    def refuses_void(self) -> bool: ...

    @property
    def dense_positions(self) -> bool: ...

    async def start(self) -> Cursor: ...

    async def tail(self) -> Cursor: ...

    async def follow(self, after: Cursor, *, limit: int = ..., wait: float = ...) -> Batch: ...


async def audit(
    app_or_log: TriggerEngine | ReadableLog,
    *,
    code: UserCode | None = None,
    limits: AuditLimits | None = None,
    keep: int = 100,
    progress: Progress | None = None,
) -> AuditReport:
    """Folds the log up to its current end and compares what leaders recorded with what the rules require.

    `code` and `limits` default to those of the app; for a log alone, to no functions and the default limits.
    `keep`: how many violations the report describes; all are counted.

    Raises BackendUnavailable. Raises LogTrimmed or LogReplaced if the log is trimmed or replaced during the audit.
    """
    if not isinstance(app_or_log, TriggerEngine):
        return await _audit(app_or_log, code or UserCode({}), limits or AuditLimits(), keep, progress)
    settings = app_or_log._internals.settings
    own_limits = AuditLimits(
        max_chain_length=settings.max_chain_length,
        max_contributions=settings.max_contributions,
        max_contribution_bytes=settings.max_contribution_bytes,
    )
    async with app_or_log:
        log = (await app_or_log._internals.connections.session()).log
        return await _audit(log, code or UserCode.of_app(app_or_log), limits or own_limits, keep, progress)


async def _audit(
    log: ReadableLog, code: UserCode, limits: AuditLimits, keep: int, progress: Progress | None
) -> AuditReport:
    tail, start = await log.tail(), await log.start()
    trimmed = await _was_trimmed(log, start, tail)
    findings = Findings(keep)
    with Uniqueness(findings) as ids:
        auditor = Auditor(
            findings,
            ids,
            code,
            limits,
            start=start.position,
            trimmed=trimmed,
            refuses_void=log.refuses_void,
            dense=log.dense_positions,
        )
        at = start
        while at.position < tail.position:
            batch = await log.follow(at, limit=_BATCH, wait=_WAIT)
            entries = [item for item in batch.entries if item[0] <= tail.position]
            # This calls filters of the app, which must not block the event loop.
            await asyncio.to_thread(auditor.read, entries)
            at = batch.cursor
            if progress is not None:
                progress(min(at.position, tail.position), tail.position)
        await asyncio.to_thread(auditor.finish)
    return _report(findings, start, tail, auditor.evaluated_upto, trimmed=trimmed)


async def _was_trimmed(log: ReadableLog, start: Cursor, tail: Cursor) -> bool:
    """Returns whether entries before the start were trimmed; otherwise the app was emptied, which begins a new log.

    Trimming appends `RetentionApplied` first, and only removes entries before it.
    """
    at = start
    while start.position > 0 and at.position < tail.position:
        batch = await log.follow(at, limit=_BATCH, wait=_WAIT)
        if any(isinstance(entry, RetentionApplied) for _, entry in batch.entries):
            return True
        at = batch.cursor
    return False


def _report(findings: Findings, start: Cursor, tail: Cursor, evaluated_upto: Position, *, trimmed: bool) -> AuditReport:
    return AuditReport(
        log_id=tail.log_id,
        start=start.position,
        upto=tail.position,
        evaluated_upto=evaluated_upto,
        trimmed=trimmed,
        entries=dict(sorted(findings.entries.items())),
        void=dict(findings.void),
        checked=dict(findings.checked),
        outcomes=dict(findings.outcomes),
        unverifiable=dict(findings.unverifiable),
        violation_counts=dict(findings.violation_counts),
        violations=tuple(findings.violations),
    )
