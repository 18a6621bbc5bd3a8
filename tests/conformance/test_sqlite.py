"""The SQLite log fulfils the contract."""

import os
import sqlite3
from pathlib import Path

import pytest

from trigger_engine._storage.sqlite import log as sqlite_log
from trigger_engine._storage.sqlite.backend import SQLiteTrigger
from trigger_engine._storage.sqlite.boot_clock import BootClock
from trigger_engine._storage.sqlite.settings import SQLiteSettings
from trigger_engine.testing._clock import ManualClock
from trigger_engine.testing.conformance import LogConformance, LogHarness


class SQLiteHarness(LogHarness):
    def __init__(self, folder: Path) -> None:
        self.clock: ManualClock = ManualClock(1_800_000_000.0)
        self._path = folder / "log.db"

    def boot_clock(self) -> BootClock:
        return BootClock(self.clock, "boot-1")

    def backend(self, app_id: str) -> SQLiteTrigger:
        return SQLiteTrigger(SQLiteSettings(str(self._path)), app_id=app_id)

    async def pass_time(self, seconds: float) -> None:
        self.clock.move_to(self.clock.now + seconds)

    async def save(self) -> Path:
        saved = self._path.with_name("saved.db")
        with sqlite3.connect(self._path) as source, sqlite3.connect(saved) as target:
            source.backup(target)
        source.close()
        target.close()
        return saved

    async def restore(self, saved: object) -> None:
        assert isinstance(saved, Path)
        os.replace(saved, self._path)


@pytest.fixture
def harness(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SQLiteHarness:
    harness = SQLiteHarness(tmp_path)
    monkeypatch.setattr(sqlite_log, "BootClock", harness.boot_clock)
    return harness


class TestSQLiteLog(LogConformance):
    pass
