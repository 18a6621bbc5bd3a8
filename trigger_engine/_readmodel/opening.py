"""The history of an app, with the app's own log and settings."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from functools import partial

from trigger_engine._client.internals import AppInternals
from trigger_engine._readmodel.history import History
from trigger_engine.backend._contract import EventLog


def open_history(internals: AppInternals) -> History:
    """The history of an app; nothing is opened before it is entered."""
    backend, settings = internals.connections.backend, internals.settings
    purges = settings.event_auto_purge_enabled
    return History(
        partial(_log_of, internals),
        app_id=internals.app_id,
        location=backend.location(),
        persistent=backend.shared_between_processes,
        event_max_records=settings.event_max_records if purges else 0,
        trigger_run_max_records=settings.trigger_run_max_records if purges else 0,
        max_contributions=settings.max_contributions,
    )


@contextlib.asynccontextmanager
async def _log_of(internals: AppInternals) -> AsyncIterator[EventLog]:
    user = object()
    internals.connections.enter(user)
    try:
        yield (await internals.connections.session()).log
    finally:
        await internals.connections.leave(user)
