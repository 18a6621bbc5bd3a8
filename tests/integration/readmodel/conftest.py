"""Fixtures: a log in a list, a story that fills it, and a history that reads it."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.integration.readmodel.stored_log import StoredLog
from tests.integration.readmodel.story import Story
from tests.support.apps import make_app
from trigger_engine._readmodel.history import History

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
