"""Retention: letting go of entries that are older than `event_retention_days`."""

from __future__ import annotations

import logging
from itertools import takewhile

from trigger_engine.config.settings import Settings
from trigger_engine.entries.facts import RetentionApplied
from trigger_engine.log.contract import Bookmark, Clock
from trigger_engine.log.fresh import fresh_id
from trigger_engine.runner.leadership import LEASE
from trigger_engine.session import Session

logger = logging.getLogger(__name__)
_DAY = 86_400.0
_READ_LIMIT = 1000
_LARGEST_STEP = 100_000


async def apply_retention(session: Session, settings: Settings, clock: Clock) -> int:
    """Trims what is old enough and no longer needed, and returns how many entries went.

    Never goes beyond the newest checkpoint, which holds all that a fold from there needs. Raises BackendUnavailable.
    """
    before = await _place_to_trim(session, settings, clock)
    if before is None:
        return 0
    now = clock()
    keys_before = now - settings.key_retention_days * _DAY
    entry = RetentionApplied(
        id=f"retention:{fresh_id()}", time=now, before=before.position + 1, keys_before=keys_before
    )
    await session.append_entry(entry)
    removed = 0
    while step := await session.log.trim(before, keys_before=keys_before):
        removed += step
    logger.info("retention removed %d entries up to position %d", removed, before.position)
    return removed


async def _place_to_trim(session: Session, settings: Settings, clock: Clock) -> Bookmark | None:
    """The newest place such that everything before it is old, and judged in a durable checkpoint."""
    checkpoint = await session.log.load_checkpoint(LEASE)
    if checkpoint is None or settings.event_retention_days <= 0:
        return None
    oldest_kept = clock() - settings.event_retention_days * _DAY
    judged = checkpoint.bookmark.position
    at = await session.log.start()
    passed = 0
    while passed < _LARGEST_STEP:
        batch = await session.log.follow(at, limit=_READ_LIMIT)
        old = list(takewhile(lambda item: item[0] <= judged and item[1].time < oldest_kept, batch.entries))
        if old:
            at = Bookmark(batch.bookmark.log_id, old[-1][0], old[-1][1].id)
        passed += len(old)
        if not batch.entries or len(old) < len(batch.entries):
            break
    # The entry at the bookmark itself stays: one alone is nothing to remove.
    return at if passed > 1 else None
