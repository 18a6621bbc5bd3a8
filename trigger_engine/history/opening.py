"""The history of an app, with the app's own log and settings."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from functools import partial
from typing import TYPE_CHECKING

from trigger_engine.history.history import History
from trigger_engine.log.contract import EventLog

if TYPE_CHECKING:
    from trigger_engine.app import TriggerEngine


def open_history(app: TriggerEngine) -> History:
    """The history of an app; nothing is opened before it is entered."""
    backend, settings = app._connections.backend, app.settings
    purges = settings.event_auto_purge_enabled
    return History(
        partial(_log_of, app),
        app_id=app.app_id,
        location=backend.location(),
        persistent=backend.shared_between_processes,
        event_max_records=settings.event_max_records if purges else 0,
        trigger_run_max_records=settings.trigger_run_max_records if purges else 0,
        max_contributions=settings.max_contributions,
    )


@contextlib.asynccontextmanager
async def _log_of(app: TriggerEngine) -> AsyncIterator[EventLog]:
    async with app:
        session = await app._connections.session()
        yield session.log
