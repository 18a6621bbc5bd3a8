"""What is made on the disk is for its user and group at most, whatever the umask: it holds payloads, and locks."""

import os
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.apps import on_sqlite

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="has no modes")


@contextmanager
def umask(mask: int) -> Iterator[None]:
    before = os.umask(mask)
    try:
        yield
    finally:
        os.umask(before)


@pytest.mark.parametrize("mask", [0o000, 0o022, 0o077])
async def test_files_are_private_to_user_and_group(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mask: int) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "cache").mkdir()
    (tmp_path / "data").mkdir()
    with umask(mask):
        app = on_sqlite(tmp_path / "data" / "log.db")
        async with app, app.runner(), app.history() as history:
            await app.emit_event("made", {"secret": "payload"})
            assert len(await history.events()) == 1
            found = {
                str(path.relative_to(tmp_path)): stat.S_IMODE(path.lstat().st_mode)
                for folder in ("data", "cache")
                for path in (tmp_path / folder).rglob("*")
            }
    names = " ".join(found)
    for kind in ("log.db ", "log.db-wal", "log.db-shm", "write.lock", "lease-", "wake-", ".sqlite", ".sqlite-wal"):
        assert kind in f"{names} ", f"{kind} is not among {names}"
    sockets = {name for name in found if "/wake-" in name}
    opened = {name: oct(mode) for name, mode in found.items() if name not in sockets and mode & (0o007 | mask)}
    assert not opened
    assert found["data/log.db-run"] & 0o007 == 0, "sockets are as private as their folder"
