"""The cache of the read model: files, locks, damage, other logs, other processes."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.readmodel.stored_log import StoredLog
from tests.integration.readmodel.story import Story
from tests.support.files import fill, small_disk
from tests.support.project import ROOT
from trigger_engine._readmodel.history import History
from trigger_engine._readmodel.store.cache_file import CacheFile
from trigger_engine.errors import BackendUnavailable, QueryError


def entered(log: StoredLog, folder: Path | None, **options: object) -> History:
    return History(log, app_id="shop", location="a list", cache_folder=folder, **options)  # type: ignore[arg-type]


def files(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.sqlite"))


async def count(log: StoredLog, folder: Path) -> int:
    async with entered(log, folder) as history:
        return len(await history.events())


async def test_second_start_reads_only_new_entries(log: StoredLog, story: Story, tmp_path: Path) -> None:
    for _ in range(10):
        story.event()
    assert await count(log, tmp_path) == 10
    del log.entries[3]
    story.event()
    assert await count(log, tmp_path) == 11


async def test_cache_folder_defaults_to_the_users(
    log: StoredLog, story: Story, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr("platformdirs.user_cache_path", lambda name: tmp_path / name)
    story.event()
    async with entered(log, None) as history:
        await history.events()
    (file,) = files(tmp_path / "trigger-engine")
    assert file.stat().st_mode & 0o077 == 0


async def test_each_app_and_location_has_its_own_file(log: StoredLog, tmp_path: Path) -> None:
    for app_id, location in (("shop", "here"), ("shop", "there"), ("bar", "here")):
        async with History(log, app_id=app_id, location=location, cache_folder=tmp_path) as history:
            await history.events()
    assert len(files(tmp_path)) == 3


async def test_history_that_is_not_persistent_leaves_no_file(log: StoredLog, story: Story, tmp_path: Path) -> None:
    story.event()
    async with entered(log, tmp_path, persistent=False) as history:
        assert len(await history.events()) == 1
    assert not os.listdir(tmp_path)


async def test_read_model_is_kept_in_memory_without_a_cache_folder(
    log: StoredLog, story: Story, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    story.event()
    (tmp_path / "file").write_text("")
    async with entered(log, tmp_path / "file") as history:
        assert len(await history.events()) == 1
    assert "the read model is kept in memory" in caplog.text


@pytest.mark.parametrize("damage", [b"not a database", b"", None])
async def test_damaged_file_is_rebuilt(
    damage: bytes | None, log: StoredLog, story: Story, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(300):
        story.event(payload={"text": "x" * 100})
    await count(log, tmp_path)
    (file,) = files(tmp_path)
    if damage is None:
        content = bytearray(file.read_bytes())
        content[5000:-4096] = os.urandom(len(content) - 9096)
        file.write_bytes(content)
    else:
        file.write_bytes(damage)
    async with entered(log, tmp_path) as history:
        assert len(await history.events(limit=1000)) == 300
        assert (await history.overview()).events == 300
    assert len(files(tmp_path)) == 1
    if damage:
        assert "is damaged" in caplog.text


async def test_damage_is_detected_while_in_use(log: StoredLog, story: Story, tmp_path: Path) -> None:
    for _ in range(300):
        story.event()
    async with entered(log, tmp_path) as history:
        assert len(await history.events(limit=1000)) == 300
        (file,) = files(tmp_path)
        with sqlite3.connect(file) as connection:
            connection.execute("DROP TABLE kept")
        connection.close()
        assert len(await history.events(limit=1000)) == 300


async def test_full_disk_loses_neither_the_answer_nor_the_file(
    log: StoredLog, story: Story, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    story.event()
    with small_disk(tmp_path / "cache", "8m") as folder:
        assert await count(log, folder) == 1
        before = files(folder)
        ballast = fill(folder)
        for _ in range(300):
            story.event("a", {"padding": "x" * 1000})
        async with entered(log, folder) as history:
            assert len(await history.events(limit=1000)) == 301
            assert len(await history.events(limit=1000)) == 301
        assert "the read model is kept in memory" in caplog.text
        ballast.unlink()
        async with entered(log, folder) as history:
            assert len(await history.events(limit=1000)) == 301
        assert files(folder) == before


async def test_file_with_another_schema_is_rebuilt(log: StoredLog, story: Story, tmp_path: Path) -> None:
    story.event()
    await count(log, tmp_path)
    (file,) = files(tmp_path)
    connection = sqlite3.connect(file)
    connection.execute("PRAGMA user_version = 999")
    connection.execute("CREATE TABLE something_else (x)")
    connection.close()
    assert await count(log, tmp_path) == 1
    assert files(tmp_path) == [file]


async def test_replaced_log_is_read_from_its_start(log: StoredLog, story: Story, history: History) -> None:
    story.event()
    story.event()
    assert len(await history.events()) == 2
    log.log_id = "a new one"
    log.entries.clear()
    log.ids.clear()
    log.last = 0
    assert len(await history.events()) == 0
    new = story.event("new")
    assert [record.event_id for record in await history.events()] == [new]


async def test_log_restored_from_a_backup_is_read_again(log: StoredLog, story: Story, history: History) -> None:
    first = story.event("first")
    story.event("lost")
    story.event("lost")
    assert len(await history.events()) == 3
    for position in (2, 3):
        del log.entries[position], log.ids[position]
    log.last = 1
    assert [record.event_id for record in await history.events()] == [first]
    for _ in range(4):
        story.event("other", event_id=f"other-{log.last}")
    assert [record.event_code for record in await history.events()] == ["other"] * 4 + ["first"]


async def test_two_histories_of_one_file_agree(log: StoredLog, story: Story, tmp_path: Path) -> None:
    for _ in range(50):
        story.event()
    async with entered(log, tmp_path) as one, entered(log, tmp_path) as two:
        pages = await asyncio.gather(*(history.events(limit=1000) for history in (one, two) for _ in range(4)))
        assert {len(page) for page in pages} == {50}
        for _ in range(20):
            story.event()
            first, second = await asyncio.gather(one.events(limit=1000), two.events(limit=1000))
            assert first == second
    assert await count(log, tmp_path) == 70


async def test_history_waits_while_another_holds_the_lock(log: StoredLog, story: Story, tmp_path: Path) -> None:
    story.event()
    cache_file = CacheFile(location="a list", app_id="shop", folder=tmp_path)
    async with entered(log, tmp_path) as history:
        with cache_file.lock() as held:
            assert held
            asking = asyncio.create_task(history.events())
            _, waiting = await asyncio.wait([asking], timeout=0.1)
            assert waiting
        assert len(await asking) == 1


_PROGRAM = """
import asyncio, sys
from pathlib import Path
from tests.integration.readmodel.stored_log import StoredLog
from tests.integration.readmodel.story import Story
from trigger_engine._readmodel.history import History

async def main(folder):
    log = StoredLog()
    story = Story(log)
    for number in range(12_000):
        story.event(payload={"n": number})
    async with History(log, app_id="shop", location="a list", cache_folder=Path(folder)) as history:
        page = await history.events(limit=10_000)
        print(len(page), page[0].payload, (await history.overview()).events)

asyncio.run(main(sys.argv[1]))
"""


@pytest.fixture
def processes(tmp_path: Path) -> Iterator[list[subprocess.Popen[str]]]:
    command = [sys.executable, "-W", "error", "-c", _PROGRAM, str(tmp_path)]
    running = [
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT) for _ in range(3)
    ]
    yield running
    for process in running:
        process.kill()
        process.communicate()


def test_concurrent_processes_with_one_file_agree(processes: list[subprocess.Popen[str]], tmp_path: Path) -> None:
    for process in processes:
        out, err = process.communicate(timeout=100)
        assert (out.strip(), err, process.returncode) == ("10000 {'n': 11999} 12000", "", 0)
    (file,) = files(tmp_path)
    connection = sqlite3.connect(file)
    assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    assert connection.execute("SELECT sum(count) FROM tallies").fetchall() == [(12_000,)]
    connection.close()


async def test_history_recovers_from_an_unreachable_log(log: StoredLog, story: Story, history: History) -> None:
    story.event()
    log.is_down = True
    with pytest.raises(BackendUnavailable):
        await history.events()
    log.is_down = False
    assert len(await history.events()) == 1


async def test_history_is_usable_after_a_cancelled_query(log: StoredLog, story: Story, history: History) -> None:
    for _ in range(3000):
        story.event()
    asking = asyncio.create_task(history.events())
    await asyncio.sleep(0)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    assert (await history.overview()).events == 3000


async def test_history_can_be_entered_and_exited_in_different_tasks(
    log: StoredLog, story: Story, tmp_path: Path
) -> None:
    story.event()
    history = entered(log, tmp_path)
    await asyncio.create_task(history.__aenter__())
    assert len(await asyncio.create_task(history.events())) == 1
    await asyncio.create_task(history.__aexit__(None, None, None))
    with pytest.raises(QueryError, match="not entered"):
        await history.events()
    async with history:
        assert len(await history.events()) == 1
        with pytest.raises(QueryError, match="already entered"):
            await history.__aenter__()
