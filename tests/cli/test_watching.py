"""Noticing that an app's code has changed."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.cli.conftest import Write
from trigger_engine.cli.watching import Snapshot, difference, python_changes, snapshot, watched_folder


def test_new_changed_and_removed_files_are_noticed(write: Write, folder: Path) -> None:
    kept, changed, removed = (write(f"{name}.py", "x = 1\n") for name in ("kept", "changed", "removed"))
    before = snapshot(folder)
    assert set(before) == {str(kept), str(changed), str(removed)}
    changed.write_text("x = 12\n", encoding="utf-8")
    removed.unlink()
    new = write("pkg/new.py", "")
    assert difference(before, snapshot(folder)) == sorted([str(changed), str(removed), str(new)])
    assert difference(before, before) == []


def test_other_files_and_foreign_folders_do_not_count(write: Write, folder: Path) -> None:
    for path in ("notes.txt", ".git/hook.py", "__pycache__/x.py", "node_modules/x.py", "env/lib/x.py"):
        write(path, "")
    write("env/pyvenv.cfg", "")
    assert snapshot(folder) == {}


async def test_without_watchfiles_the_folder_is_polled(
    write: Write, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trigger_engine.cli.watching._watchfiles", lambda: None)
    monkeypatch.setattr("trigger_engine.cli.watching.POLL_INTERVAL", 0.0)
    write("shop.py", "x = 1\n")
    changes = python_changes(folder)
    states = [snapshot(folder), {**snapshot(folder), str(folder / "new.py"): (1, 1)}]
    monkeypatch.setattr("trigger_engine.cli.watching.snapshot", lambda _: states.pop(0))
    assert await anext(changes) == "new.py"
    await changes.aclose()


async def test_when_watchfiles_cannot_watch_the_folder_is_polled(
    folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    class Broken:
        PythonFilter = object

        @staticmethod
        def awatch(*_: object, **__: object) -> AsyncIterator[object]:
            raise OSError("no more watches")

    monkeypatch.setattr("trigger_engine.cli.watching._watchfiles", lambda: Broken)
    monkeypatch.setattr("trigger_engine.cli.watching.POLL_INTERVAL", 0.0)
    states: list[Snapshot] = [{}, {str(folder / "new.py"): (1, 1)}]
    monkeypatch.setattr("trigger_engine.cli.watching.snapshot", lambda _: states.pop(0))
    changes = python_changes(folder)
    assert await anext(changes) == "new.py"
    await changes.aclose()
    assert "no more watches" in caplog.text


@pytest.mark.parametrize(
    ("target", "watched"),
    [
        ("shop:app", "."),
        ("shop.py:app", "."),
        ("sub/shop.py", "sub"),
        ("store.tasks:app", "store"),
        ("sub/pkg/inner/tasks.py:app", "sub"),
        ("not_there:app", "."),
    ],
)
def test_the_folder_of_the_apps_code_is_watched(write: Write, folder: Path, target: str, watched: str) -> None:
    for path in ("store/__init__.py", "sub/pkg/__init__.py", "sub/pkg/inner/__init__.py"):
        write(path, "")
    assert watched_folder(target) == Path(folder / watched)
