"""A hand-made log, the story that fills it, and the history that reads it."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.history.stored_log import StoredLog
from tests.history.story import Story
from tests.support.apps import make_app
from trigger_engine.history import History

__all__ = ["make_app"]


@pytest.fixture
def log() -> StoredLog:
    return StoredLog()


@pytest.fixture
def story(log: StoredLog) -> Story:
    return Story(log)


@pytest.fixture
async def history(log: StoredLog, tmp_path: Path) -> AsyncIterator[History]:
    async with History(log, app_id="shop", location="a list", cache_folder=tmp_path) as entered:
        yield entered
