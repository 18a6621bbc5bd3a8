"""Detecting changes of an app's code."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.integration.cli.conftest import Write
from trigger_engine._cli.reloading import FileStates, difference, python_changes, scan, watched_folder


def test_new_changed_and_removed_files_are_detected(write: Write, folder: Path) -> None:
    kept, changed, removed = (write(f"{name}.py", "x = 1\n") for name in ("kept", "changed", "removed"))
    before = scan(folder)
    assert set(before) == {str(kept), str(changed), str(removed)}
    changed.write_text("x = 12\n", encoding="utf-8")
    removed.unlink()
    new = write("pkg/new.py", "")
    assert difference(before, scan(folder)) == sorted([str(changed), str(removed), str(new)])
    assert difference(before, before) == []


def test_other_files_and_skipped_folders_are_ignored(write: Write, folder: Path) -> None:
    for path in ("notes.txt", ".git/hook.py", "__pycache__/x.py", "node_modules/x.py", "env/lib/x.py"):
        write(path, "")
    write("env/pyvenv.cfg", "")
    assert scan(folder) == {}


async def test_folder_is_polled_without_watchfiles(write: Write, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trigger_engine._cli.reloading._watchfiles", lambda: None)
    monkeypatch.setattr("trigger_engine._cli.reloading.POLL_INTERVAL", 0.0)
    write("shop.py", "x = 1\n")
    changes = python_changes(folder)
    states = [scan(folder), {**scan(folder), str(folder / "new.py"): (1, 1)}]
    monkeypatch.setattr("trigger_engine._cli.reloading.scan", lambda _: states.pop(0))
    assert await anext(changes) == "new.py"
    await changes.aclose()


async def test_folder_is_polled_if_watchfiles_fails(
    folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    class Broken:
        PythonFilter = object

        @staticmethod
        def awatch(*_: object, **__: object) -> AsyncIterator[object]:
            raise OSError("no more watches")

    monkeypatch.setattr("trigger_engine._cli.reloading._watchfiles", lambda: Broken)
    monkeypatch.setattr("trigger_engine._cli.reloading.POLL_INTERVAL", 0.0)
    states: list[FileStates] = [{}, {str(folder / "new.py"): (1, 1)}]
    monkeypatch.setattr("trigger_engine._cli.reloading.scan", lambda _: states.pop(0))
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
def test_folder_of_the_apps_code_is_watched(write: Write, folder: Path, target: str, watched: str) -> None:
    for path in ("store/__init__.py", "sub/pkg/__init__.py", "sub/pkg/inner/__init__.py"):
        write(path, "")
    assert watched_folder(target) == Path(folder / watched)
