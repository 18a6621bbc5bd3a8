"""Auditing a log: reading all of it, and saying whether the books balance."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Protocol

from trigger_engine.app import TriggerEngine
from trigger_engine.audit.collecting import AuditLimits
from trigger_engine.audit.folding import Fold
from trigger_engine.audit.report import AuditReport, Books
from trigger_engine.audit.uniqueness import Uniqueness
from trigger_engine.audit.user_code import UserCode
from trigger_engine.entries.facts import Position, RetentionApplied
from trigger_engine.log.contract import Batch, Bookmark

Progress = Callable[[Position, Position], Any]
"""Called with the position reached and the last one."""

_BATCH = 1_000
_WAIT = 5.0


class ReadableLog(Protocol):
    """What an audit needs of an `EventLog`."""

    @property
    def refuses_void(self) -> bool: ...

    @property
    def dense_positions(self) -> bool: ...

    async def start(self) -> Bookmark: ...

    async def tail(self) -> Bookmark: ...

    async def follow(self, after: Bookmark, *, limit: int = ..., wait: float = ...) -> Batch: ...


async def audit(
    app_or_log: TriggerEngine | ReadableLog,
    *,
    code: UserCode | None = None,
    limits: AuditLimits | None = None,
    keep: int = 100,
    progress: Progress | None = None,
) -> AuditReport:
    """Folds the log up to where it ends now, and compares what its leaders recorded with what the rules give.

    `code` and `limits` are those of the app, or, for a log alone, no functions and the defaults. `keep`: how many
    offences the report describes; all are counted. Raises BackendUnavailable; LogTrimmed and LogReplaced when the log
    is trimmed or replaced meanwhile.
    """
    if not isinstance(app_or_log, TriggerEngine):
        return await _audit(app_or_log, code or UserCode({}), limits or AuditLimits(), keep, progress)
    settings = app_or_log.settings
    own_limits = AuditLimits(
        max_chain_length=settings.max_chain_length,
        max_contributions=settings.max_contributions,
        max_contribution_bytes=settings.max_contribution_bytes,
    )
    async with app_or_log:
        log = (await app_or_log._connections.session()).log
        return await _audit(log, code or UserCode.of_app(app_or_log), limits or own_limits, keep, progress)


async def _audit(
    log: ReadableLog, code: UserCode, limits: AuditLimits, keep: int, progress: Progress | None
) -> AuditReport:
    tail, start = await log.tail(), await log.start()
    trimmed = await _was_trimmed(log, start, tail)
    books = Books(keep)
    with Uniqueness(books) as ids:
        fold = Fold(
            books,
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
            # Filters of the app are called in there: the event loop must not wait for them.
            await asyncio.to_thread(fold.read, entries)
            at = batch.bookmark
            if progress is not None:
                progress(min(at.position, tail.position), tail.position)
        await asyncio.to_thread(fold.finish)
    return _report(books, start, tail, fold.judged_upto, trimmed=trimmed)


async def _was_trimmed(log: ReadableLog, start: Bookmark, tail: Bookmark) -> bool:
    """Whether entries stood before the start; else the app was emptied there, which begins a new log.

    Whoever trims appends `RetentionApplied` before, and nothing later than that goes.
    """
    at = start
    while start.position > 0 and at.position < tail.position:
        batch = await log.follow(at, limit=_BATCH, wait=_WAIT)
        if any(isinstance(entry, RetentionApplied) for _, entry in batch.entries):
            return True
        at = batch.bookmark
    return False


def _report(books: Books, start: Bookmark, tail: Bookmark, judged_upto: Position, *, trimmed: bool) -> AuditReport:
    return AuditReport(
        log_id=tail.log_id,
        start=start.position,
        upto=tail.position,
        judged_upto=judged_upto,
        trimmed=trimmed,
        entries=dict(sorted(books.entries.items())),
        void=dict(books.void),
        checked=dict(books.checked),
        outcomes=dict(books.outcomes),
        unverifiable=dict(books.unverifiable),
        offence_counts=dict(books.offence_counts),
        offences=tuple(books.offences),
    )
