"""Relative paths are resolved from the folder of their file, otherwise from the current folder."""

import os
from pathlib import Path

import pytest

from tests.unit.config.conftest import ServerBackend, Write
from trigger_engine._config.loading import load_config
from trigger_engine.errors import ConfigError

SQLITE = '[tool.trigger_engine.sqlite]\nsqlite_db_path = "data/shop.db"\n'


def db_path(**overrides: object) -> str:
    return str(load_config(**overrides).backend_settings.sqlite_db_path)


def test_path_in_a_file_is_relative_to_that_file(write: Write, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(SQLITE)
    (folder / "src").mkdir()
    monkeypatch.chdir(folder / "src")
    assert db_path() == str(folder / "data/shop.db")


def test_path_in_a_named_file_is_relative_to_that_file(
    write: Write, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(SQLITE, "deploy/production.toml")
    monkeypatch.setenv("TRIGGER_ENGINE_CONFIG", "deploy/production.toml")
    assert db_path() == str(folder / "deploy/data/shop.db")


def test_other_paths_are_relative_to_the_current_folder(
    write: Write, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(SQLITE)
    here = folder / "src"
    here.mkdir()
    monkeypatch.chdir(here)
    monkeypatch.setenv("TRIGGER_ENGINE__SQLITE__SQLITE_DB_PATH", "env.db")
    assert db_path() == str(here / "env.db")
    assert db_path(sqlite={"sqlite_db_path": "keyword.db"}) == str(here / "keyword.db")
    assert db_path(sqlite={"sqlite_db_path": Path("../path.db")}) == str(folder / "path.db")


def test_default_file_is_in_the_current_folder(write: Write, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write("[tool.trigger_engine]\n")
    here = folder / "src"
    here.mkdir()
    monkeypatch.chdir(here)
    assert db_path() == str(here / "trigger_engine.db")


def test_absolute_and_home_paths_are_kept(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert db_path(sqlite={"sqlite_db_path": "/data/shop.db"}) == "/data/shop.db"
    assert db_path(sqlite={"sqlite_db_path": "~/shop.db"}) == str(tmp_path / "shop.db")


@pytest.mark.parametrize("path", ["", " ", "a\0b"])
def test_invalid_path_is_refused(path: str) -> None:
    with pytest.raises(ConfigError, match=r"sqlite\.sqlite_db_path = .*must be the path of a file"):
        db_path(sqlite={"sqlite_db_path": path})


@pytest.mark.parametrize("path", [":memory:", "file:shop.db?mode=memory"])
def test_sqlite_in_memory_is_refused_in_favour_of_the_memory_backend(path: str) -> None:
    with pytest.raises(ConfigError, match="MemTrigger"):
        db_path(sqlite={"sqlite_db_path": path})


def test_every_path_key_of_a_backend_is_resolved(folder: Path, server: type[ServerBackend]) -> None:
    config = load_config(trigger_cls="ServerTrigger", app_id="a")
    assert config.backend_settings.journal == str(folder / "journal.log")
    assert config.backend_settings.url == "redis://localhost:6379"


def test_file_of_an_app_is_relative_to_the_configuration_file(
    write: Write, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write('[tool.trigger_engine]\napp = "src/tasks.py:app"\n')
    (folder / "src").mkdir()
    monkeypatch.chdir(folder / "src")
    assert load_config().settings.app == f"{folder}{os.sep}src{os.sep}tasks.py:app"
    assert load_config(app="tasks.py:app").settings.app == f"{folder / 'src' / 'tasks.py'}:app"
    assert load_config(app="tasks:app").settings.app == "tasks:app"
    assert load_config(app="shop.tasks:engine.app").settings.app == "shop.tasks:engine.app"
