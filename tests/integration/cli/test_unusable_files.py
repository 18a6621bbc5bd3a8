"""With an unusable SQLite file, every command reports the file, the problem and the fix, and writes nothing."""

import re
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from tests.integration.cli.conftest import Invoke
from tests.support.files import immutable, mounted_read_only

COMMANDS = {
    "run": ["run", "shop:app"],
    "emit": ["emit", "shop:app", "user.login"],
    "events": ["events", "shop:app"],
    "runs": ["runs", "shop:app"],
    "invocations": ["invocations", "shop:app"],
    "cancel": ["invocations", "cancel", "some-id", "shop:app"],
    "rerun": ["invocations", "rerun", "some-id", "shop:app"],
    "triggers": ["triggers", "shop:app"],
    "explain": ["explain", "some-id", "", "shop:app"],
    "doctor": ["doctor", "shop:app"],
    "purge": ["purge", "shop:app"],
    "empty": ["purge", "shop:app", "--everything", "--yes"],
    "audit": ["audit", "shop:app"],
}


def text(path: Path) -> None:
    path.write_text("some notes\n" * 1000)


def folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def another_programs(path: Path) -> None:
    path.unlink()
    _execute(path, "CREATE TABLE customers (name TEXT)", "INSERT INTO customers VALUES ('Ada')")


def newer(path: Path) -> None:
    _execute(path, "UPDATE trigger_engine_schema SET version = 99")


def without_version(path: Path) -> None:
    _execute(path, "DELETE FROM trigger_engine_schema")


def odd_version(path: Path) -> None:
    _execute(path, "UPDATE trigger_engine_schema SET version = 'two'")


def overwritten_header(path: Path) -> None:
    path.write_bytes(b"\xa5" * 100 + path.read_bytes()[100:])


def overwritten_schema(path: Path) -> None:
    data = path.read_bytes()
    path.write_bytes(data[:100] + b"\xa5" * 3996 + data[4096:])


def overwritten_pages(path: Path) -> None:
    data = path.read_bytes()
    path.write_bytes(data[:4096] + b"\xa5" * (len(data) - 4096))


def cut_off(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: 4096 * 3])


UNUSABLE: dict[Callable[[Path], None], tuple[str, str]] = {
    text: ("is not an SQLite database", "name another file in sqlite_db_path"),
    folder: ("is a folder", "name a file in sqlite_db_path"),
    another_programs: ("is the database of another program", "name another file in sqlite_db_path"),
    newer: ("has schema version 99", "upgrade trigger-engine"),
    without_version: ("does not say which schema version it has", "restore a backup"),
    odd_version: ("does not say which schema version it has", "restore a backup"),
    overwritten_header: ("is not an SQLite database", "name another file in sqlite_db_path"),
    overwritten_schema: ("is damaged", "restore a backup"),
    overwritten_pages: ("is damaged", "restore a backup"),
    cut_off: ("is damaged", "restore a backup"),
}
READERS = {"events", "runs", "invocations", "triggers", "explain", "doctor", "audit", "cancel", "rerun", "purge"}
"""Commands that write nothing if there is nothing to do."""


@pytest.fixture
def database(folder: Path, shop: Path, invoke: Invoke) -> Path:
    """A database file with one event."""
    assert invoke("emit", "shop:app", "user.login").exit_code == 0
    return folder / "trigger_engine.db"


@pytest.mark.parametrize("spoil", UNUSABLE, ids=lambda spoil: spoil.__name__)
@pytest.mark.parametrize("command", COMMANDS)
def test_unusable_file_is_reported_and_not_changed(
    database: Path, invoke: Invoke, command: str, spoil: Callable[[Path], None]
) -> None:
    spoil(database)
    before = _content(database)
    result = invoke(*COMMANDS[command], columns=500)
    assert result.exit_code == 1, result.output
    problem, fix = UNUSABLE[spoil]
    assert re.search(f"{re.escape(str(database))} {problem}.*{fix}", result.output), result.output
    assert "Traceback" not in result.output
    assert _content(database) == before


@pytest.mark.parametrize("command", COMMANDS)
def test_file_on_a_read_only_disk_is_reported(database: Path, invoke: Invoke, command: str) -> None:
    before = _content(database)
    with mounted_read_only(database.parent):
        result = invoke(*COMMANDS[command], columns=500)
        assert _content(database) == before
    assert result.exit_code == 1, result.output
    assert f"{database} cannot be opened: give this user write access to the file and to its folder" in result.output


@pytest.mark.parametrize("command", [*sorted(set(COMMANDS) - READERS), "doctor"])
def test_unwritable_file_is_reported(database: Path, invoke: Invoke, command: str) -> None:
    with immutable(database):
        result = invoke(*COMMANDS[command], columns=500)
    assert result.exit_code == 1, result.output
    assert f"{database} cannot be written: give this user write access to the file and to its folder" in result.output


@pytest.mark.parametrize("command", ["events", "audit"])
def test_unwritable_file_can_be_read(database: Path, invoke: Invoke, command: str) -> None:
    with immutable(database):
        result = invoke(*COMMANDS[command])
    assert result.exit_code == 0, result.output


@pytest.mark.parametrize("command", ["events", "runs", "invocations", "triggers", "explain", "doctor", "audit"])
def test_unreadable_entry_is_reported_with_its_position(database: Path, invoke: Invoke, command: str) -> None:
    _execute(database, "UPDATE entries SET data = x'0102ff'")
    before = _content(database)
    result = invoke(*COMMANDS[command], columns=500)
    assert result.exit_code == 1, result.output
    assert re.search(rf"{re.escape(str(database))}: position 1: .* is damaged", result.output), result.output
    assert _content(database) == before


def test_missing_table_is_reported(database: Path, invoke: Invoke) -> None:
    _execute(database, "DROP TABLE entries")
    result = invoke("emit", "shop:app", "user.login")
    assert result.exit_code == 1
    assert "lacks something that trigger-engine created in it" in result.output
    assert "restore a backup" in result.output


def _execute(path: Path, *statements: str) -> None:
    with closing(sqlite3.connect(path)) as connection:
        for statement in statements:
            connection.execute(statement)
        connection.commit()


def _content(path: Path) -> dict[str, bytes | None]:
    """Returns the content of the file and the files next to it, except empty lock files."""
    return {
        str(each): None if each.is_dir() else each.read_bytes()
        for each in (path, *path.parent.glob(f"{path.name}*"))
        if each.name not in {f"{path.name}-shm", f"{path.name}-wal"} or each.stat().st_size
    }
