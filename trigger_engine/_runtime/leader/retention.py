"""Retention: trimming entries that are older than `event_retention_days`."""

from __future__ import annotations

import logging
from itertools import takewhile

from trigger_engine._client.connections import Session
from trigger_engine._config.settings import Settings
from trigger_engine._model.entries import RetentionApplied
from trigger_engine._runtime.leader.term import LEASE
from trigger_engine.backend._contract import Clock, Cursor
from trigger_engine.backend._ids import fresh_id

logger = logging.getLogger(__name__)
_DAY = 86_400.0
_READ_LIMIT = 1000
_MAX_TRIMMED = 100_000


async def apply_retention(session: Session, settings: Settings, clock: Clock) -> int:
    """Trims old entries that are no longer needed, and returns how many were removed.

    Never trims beyond the newest checkpoint, which holds everything a fold from there needs. Raises BackendUnavailable.
    """
    before = await _trim_before(session, settings, clock)
    if before is None:
        return 0
    now = clock()
    keys_before = now - settings.key_retention_days * _DAY
    entry = RetentionApplied(
        id=f"retention:{fresh_id()}", time=now, before=before.position + 1, keys_before=keys_before
    )
    await session.append((entry,))
    removed = 0
    while step := await session.log.trim(before, keys_before=keys_before):
        removed += step
    logger.info("retention removed %d entries up to position %d", removed, before.position)
    return removed


async def _trim_before(session: Session, settings: Settings, clock: Clock) -> Cursor | None:
    """The newest cursor before which every entry is old and covered by a durable checkpoint, None if there is none."""
    checkpoint = await session.log.load_checkpoint(LEASE)
    if checkpoint is None or settings.event_retention_days <= 0:
        return None
    oldest_kept = clock() - settings.event_retention_days * _DAY
    evaluated = checkpoint.cursor.position
    at = await session.log.start()
    passed = 0
    while passed < _MAX_TRIMMED:
        batch = await session.log.follow(at, limit=_READ_LIMIT)
        old = list(takewhile(lambda item: item[0] <= evaluated and item[1].time < oldest_kept, batch.entries))
        if old:
            at = Cursor(batch.cursor.log_id, old[-1][0], old[-1][1].id)
        passed += len(old)
        if not batch.entries or len(old) < len(batch.entries):
            break
    # The entry at the cursor itself stays, so a single entry leaves nothing to remove.
    return at if passed > 1 else None
