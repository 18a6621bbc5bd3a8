"""The SQLite file: errors say clearly what is wrong with it, and foreign data is never destroyed."""

import asyncio
import os
import sqlite3
import subprocess
import sys
import tempfile
from contextlib import closing
from pathlib import Path
from typing import Literal

import pytest

from tests.integration.storage.sqlite_files import content, is_sound, open_log, query, write
from trigger_engine._storage.sqlite import schema
from trigger_engine._storage.sqlite.file_system import check_file_system
from trigger_engine._storage.sqlite.thread import DatabaseThread
from trigger_engine.errors import BackendUnavailable, ConfigError, LogReplaced
from trigger_engine.testing.conformance._harness import append, ids
from trigger_engine.testing.conformance._sample_entries import event

NOBODY = 65534

APPEND_AS_NOBODY = """
import asyncio, os, sys, time
from trigger_engine.errors import TriggerEngineError
from trigger_engine._storage.sqlite import log
from trigger_engine._storage.sqlite.backend import SQLiteTrigger
from trigger_engine._storage.sqlite.settings import SQLiteSettings
from trigger_engine.testing.conformance._sample_entries import event

async def main():
    try:
        async with await SQLiteTrigger(SQLiteSettings(sys.argv[1]), app_id="shop").open(clock=time.time) as log:
            await log.append([(event("b"),)])
    except TriggerEngineError as exc:
        print(type(exc).__name__, exc)

if os.getuid() == 0:
    os.setgroups([])
    os.setgid(int(sys.argv[2]))
    os.setuid(int(sys.argv[2]))
asyncio.run(main())
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "log.db"


async def test_missing_file_is_created(path: Path) -> None:
    async with await open_log(path) as log:
        await append(log, event("a"))
    assert is_sound(path)


async def test_error_for_a_missing_folder_names_it(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=f"the folder {tmp_path}/nowhere does not exist: create it"):
        await open_log(tmp_path / "nowhere" / "log.db")


async def test_folder_in_place_of_the_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is a folder: name a file in sqlite_db_path"):
        await open_log(tmp_path)


async def test_file_in_place_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("text")
    with pytest.raises(ConfigError, match="sqlite_db_path"):
        await open_log(tmp_path / "file" / "log.db")


async def test_file_that_is_not_a_database_is_left_unchanged(path: Path) -> None:
    write(path, b"some notes\n" * 100)
    with pytest.raises(ConfigError, match="is not an SQLite database: name another file"):
        await open_log(path)
    assert content(path) == b"some notes\n" * 100


async def test_database_of_another_program_is_left_unchanged(path: Path) -> None:
    query(path, "CREATE TABLE customers (name TEXT)")
    before = content(path)
    with pytest.raises(ConfigError, match=r"the database of another program .*'customers'"):
        await open_log(path)
    assert content(path) == before


async def test_newer_schema_is_left_unchanged(path: Path) -> None:
    async with await open_log(path) as log:
        await append(log, event("a"))
    query(path, f"UPDATE trigger_engine_schema SET version = {schema.VERSION + 1}")
    with pytest.raises(ConfigError, match=f"schema version {schema.VERSION + 1}.*upgrade trigger-engine"):
        await open_log(path)
    assert query(path, "SELECT id FROM entries") == [("a",)]


async def test_older_schema_is_migrated_and_keeps_its_entries(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with await open_log(path) as log:
        await append(log, event("a"))
    monkeypatch.setattr(schema, "STEPS", (*schema.STEPS, ("CREATE TABLE later (x)", "INSERT INTO later VALUES (7)")))
    monkeypatch.setattr(schema, "VERSION", schema.VERSION + 1)
    async with await open_log(path) as one, await open_log(path) as two:
        assert await ids(one) == await ids(two) == ["a"]
    assert query(path, "SELECT x FROM later") == [(7,)]
    assert query(path, "SELECT version FROM trigger_engine_schema") == [(schema.VERSION,)]


async def test_failed_migration_leaves_the_older_schema(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with await open_log(path) as log:
        await append(log, event("a"))
    with monkeypatch.context() as patch:
        patch.setattr(schema, "STEPS", (*schema.STEPS, ("CREATE TABLE later (x)", "INSERT INTO nothing VALUES (7)")))
        patch.setattr(schema, "VERSION", schema.VERSION + 1)
        with pytest.raises(BackendUnavailable):
            await open_log(path)
    async with await open_log(path) as log:
        assert await ids(log) == ["a"]


async def test_concurrent_opens_of_a_new_file_succeed(path: Path) -> None:
    logs = await asyncio.gather(*(open_log(path, app_id=f"app-{n % 3}") for n in range(9)))
    assert len({log.log_id for log in logs}) == 3
    for log in logs:
        await log.close()


async def test_damaged_file_is_an_error_until_a_backup_is_restored(path: Path) -> None:
    async with await open_log(path) as log:
        await append(log, *(event(f"e{n}") for n in range(500)))
    whole = content(path)
    write(path, whole[:4096] + b"\xa5" * (len(whole) - 4096))
    with pytest.raises(BackendUnavailable, match=r"is damaged: stop every program .* restore a backup"):
        async with await open_log(path) as log:
            await append(log, event("more"))
    write(path, whole)
    async with await open_log(path) as log:
        assert len(await ids(log)) == 500


async def test_full_disk_stores_nothing_and_is_recovered_from(path: Path) -> None:
    async with await open_log(path) as log:
        await append(log, event("a"))
        await _limit_pages(log._writer, 1)
        with pytest.raises(BackendUnavailable, match=r"no space left for .* free some space and try again"):
            await append(log, event("b", "x" * 100_000))
        assert await ids(log) == ["a"]
        await _limit_pages(log._writer, 1_000_000)
        await append(log, event("b", "x" * 100_000))
        assert await ids(log) == ["a", "b"]
    assert is_sound(path)


async def test_lock_of_another_program_is_awaited_and_reported(path: Path) -> None:
    async with await open_log(path, busy_timeout=0.05) as log:
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(BackendUnavailable, match="longer than busy_timeout"):
                await append(log, event("a"))
            assert await ids(log) == []
        await append(log, event("a"))


@pytest.mark.skipif(sys.platform == "win32", reason="has no modes")
@pytest.mark.parametrize(("file_mode", "folder_mode"), [(0o444, 0o777), (0o666, 0o555)], ids=["file", "folder"])
def test_missing_write_access_is_reported(file_mode: int, folder_mode: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "log.db")
        asyncio.run(_append_one(path))
        path.chmod(file_mode)
        path.parent.chmod(folder_mode)
        printed = _run(APPEND_AS_NOBODY, str(path), str(NOBODY))
        path.parent.chmod(0o777)
        assert printed.startswith("NothingStored")
        assert "give this user write access to the file and to its folder" in printed
        assert query(path, "SELECT id FROM entries") == [("a",)]


async def test_deleted_file_becomes_a_new_log(path: Path) -> None:
    async with await open_log(path) as log:
        await append(log, event("a"))
        old = await log.tail()
        for suffix in ("", "-wal", "-shm"):
            os.unlink(f"{path}{suffix}")
        with pytest.raises(LogReplaced):
            await log.follow(old)
        await append(log, event("b"))
        assert await ids(log) == ["b"]
        assert log.log_id != old.log_id
    assert is_sound(path)


async def test_replacement_file_is_not_mixed_with_the_old_write_ahead_log(path: Path) -> None:
    backup = path.with_name("backup.db")
    async with await open_log(backup) as log:
        await append(log, event("from the backup"))
    async with await open_log(path) as one, await open_log(path) as two:
        await append(one, *(event(f"e{n}") for n in range(300)))
        await append(two, event("newest"))
        old = await one.tail()
        os.rename(path, path.with_name("moved.db"))
        os.rename(backup, path)
        for log in (one, two):
            with pytest.raises(LogReplaced):
                await log.follow(old)
        await append(one, event("a"))
        await append(two, event("b"))
        assert await ids(one) == await ids(two) == ["from the backup", "a", "b"]
    assert is_sound(path)
    assert len(query(path.with_name("moved.db"), "SELECT id FROM entries")) == 301


async def test_calls_on_a_closed_log_raise(path: Path) -> None:
    log = await open_log(path)
    waiting = asyncio.create_task(log.follow(await log.tail(), wait=60))
    await asyncio.sleep(0)
    await log.close()
    await log.close()
    for call in (waiting, log.tail(), log.append([(event("a"),)])):
        with pytest.raises(BackendUnavailable, match="was closed: open it again"):
            await call


@pytest.mark.parametrize(("synchronous", "level"), [("NORMAL", 1), ("FULL", 2), ("EXTRA", 3)])
async def test_every_connection_uses_the_synchronous_setting(
    path: Path, synchronous: Literal["FULL", "NORMAL", "EXTRA"], level: int
) -> None:
    async with await open_log(path, synchronous=synchronous) as log:
        for thread in (log._writer, log._reader):
            assert await thread.run(lambda database: database.read(_synchronous)) == level


def test_network_file_system_is_refused(tmp_path: Path) -> None:
    mounts = tmp_path / "mountinfo"
    mounts.write_text(
        "22 1 254:0 / / rw - ext4 /dev/vda rw\n"
        "23 22 0:40 / /srv/shared rw shared:1 - nfs4 server:/export rw\n"
        "24 23 254:1 / /srv/shared/with\\040space rw - ext4 /dev/vdb rw\n"
    )
    with pytest.raises(ConfigError, match=r"network file system \(nfs4\).* name a file on a local disk"):
        check_file_system("/srv/shared/log.db", str(mounts))
    check_file_system("/srv/shared/with space/log.db", str(mounts))
    check_file_system("/srv/shared2/log.db", str(mounts))
    check_file_system("/srv/shared/log.db", str(tmp_path / "nothing"))


async def _limit_pages(thread: DatabaseThread, more: int) -> None:
    def limit(connection: sqlite3.Connection) -> None:
        (pages,) = connection.execute("PRAGMA page_count").fetchone()
        connection.execute(f"PRAGMA max_page_count = {pages + more}")

    await thread.run(lambda database: database.read(limit))


def _synchronous(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA synchronous").fetchone()[0])


async def _append_one(path: Path) -> None:
    async with await open_log(path) as log:
        await append(log, event("a"))


def _run(program: str, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program, *arguments],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stderr == ""
    return done.stdout
