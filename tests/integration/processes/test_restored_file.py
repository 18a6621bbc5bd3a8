"""A backup taken while everything runs, and put back: every reader notices, and goes on with what the file has now."""

import asyncio
import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.support.apps import on_sqlite
from tests.support.reading import entries_of_type, is_running
from tests.support.waiting import wait_until
from trigger_engine import EventContext, InvocationNotFound, TriggerBuilder, TriggerEngine
from trigger_engine._audit.auditing import audit
from trigger_engine._model.entries import EventEmitted

Copy = Callable[[Path, Path], None]


def by_vacuum(source: Path, target: Path) -> None:
    with closing(sqlite3.connect(source)) as connection:
        connection.execute("VACUUM INTO ?", (str(target),))


def by_backup(source: Path, target: Path) -> None:
    """As `.backup` and `.restore` of the sqlite3 shell do, page by page, also into a file that is in use."""
    with closing(sqlite3.connect(source)) as connection, closing(sqlite3.connect(target)) as other:
        connection.backup(other)


def number_of(context: EventContext) -> dict[str, Any]:
    return {"number": context.payload["number"]}


class Shop:
    """An app whose task notes the numbers of the events that it follows, and one that waits for a gate."""

    def __init__(self, path: Path) -> None:
        self.app = on_sqlite(path)
        self.seen: list[int] = []
        self.gate = asyncio.Event()
        made = TriggerBuilder().on_event("made").with_args_from_event(number_of)

        @self.app.task(triggers=made, task_id="note")
        async def note(number: int) -> None:
            self.seen.append(number)

        @self.app.task(task_id="wait")
        async def wait() -> None:
            await self.gate.wait()

        self.wait = wait

    async def make(self, *numbers: int) -> None:
        for number in numbers:
            await self.app.emit_event("made", {"number": number})
        await wait_until(lambda: set(numbers) <= set(self.seen), deadline=60.0)


async def stored(app: TriggerEngine) -> list[int]:
    return [msgspec.msgpack.decode(e.payload)["number"] for e in await entries_of_type(app, EventEmitted)]


@pytest.mark.parametrize("copy", [by_vacuum, by_backup])
async def test_programs_continue_with_a_restored_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, copy: Copy
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    path, backup = tmp_path / "log.db", tmp_path / "backup.db"
    shop, other = Shop(path), Shop(path)
    async with shop.app, other.app, shop.app.runner() as runner, shop.app.history() as history:
        await shop.make(1, 2, 3)
        copy(path, backup)
        await shop.make(4, 5, 6)
        lost = await shop.wait()
        await wait_until(lambda: is_running(lost))
        waiting = asyncio.create_task(lost.result(timeout=60))
        assert len(await history.events()) == 6
        by_backup(backup, path)
        await other.app.emit_event("made", {"number": 7})
        await wait_until(lambda: 7 in shop.seen, deadline=60.0)
        with pytest.raises(InvocationNotFound):
            await waiting
        await shop.make(8)
        assert await stored(shop.app) == [1, 2, 3, 7, 8]
        assert sorted(event.payload["number"] for event in await history.events()) == [1, 2, 3, 7, 8]
        shop.gate.set()
        await (await shop.wait()).result(timeout=60)
        assert runner.failed is None
    async with shop.app:
        report = await audit(shop.app)
        assert report.consistent, report.violations
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


@pytest.mark.parametrize("copy", [by_vacuum, by_backup])
async def test_a_backup_taken_under_load_is_whole_and_restored_as_the_guide_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, copy: Copy
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    path, backup = tmp_path / "log.db", tmp_path / "backup.db"
    shop = Shop(path)
    acknowledged: list[int] = []

    async def emit_all() -> None:
        for number in range(200):
            await shop.app.emit_event("made", {"number": number})
            acknowledged.append(number)

    async with shop.app:
        async with shop.app.runner():
            emitting = asyncio.create_task(emit_all())
            await wait_until(lambda: len(acknowledged) > 50)
            known = list(acknowledged)
            await asyncio.to_thread(copy, path, backup)
            await emitting
        async with shop.app.history() as history:
            assert len(await history.events(limit=1000)) == 200
    _put_in_place(backup, path)
    again = Shop(path)
    async with again.app, again.app.runner():
        await again.make(1000)
        numbers = await stored(again.app)
        assert set(known) <= set(numbers)
        assert numbers == [*range(len(numbers) - 1), 1000]
        async with again.app.history() as history:
            assert len(await history.events(limit=1000)) == len(numbers)
        await wait_until(lambda: _is_consistent(again.app), deadline=30)


def _put_in_place(backup: Path, path: Path) -> None:
    for suffix in ("-wal", "-shm"):
        Path(f"{path}{suffix}").unlink(missing_ok=True)
    os.replace(backup, path)


async def _is_consistent(app: TriggerEngine) -> bool:
    return (await audit(app)).consistent
