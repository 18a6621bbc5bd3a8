"""A separate project folder for every test, and a fake server backend."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, ClassVar

import msgspec
import pytest

from trigger_engine._config.plugins import find_backend
from trigger_engine.backend._contract import Backend, Clock, EventLog
from trigger_engine.errors import BackendNotInstalled

Write = Callable[..., Path]


class ServerSettings(msgspec.Struct, frozen=True):
    url: str = "redis://localhost:6379"
    batch: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 100
    hosts: tuple[str, ...] = ()
    options: dict[str, int] = {}
    password: str = ""
    journal: str = "journal.log"

    def __post_init__(self) -> None:
        if not self.url.startswith("redis://"):
            raise ValueError("url must begin with redis://")


class ServerBackend(Backend):
    name = "ServerTrigger"
    family = "Server"
    section = "server"
    settings_type = ServerSettings
    path_keys: ClassVar[tuple[str, ...]] = ("journal",)
    needs_app_id = True

    def location(self) -> str:
        return str(self.settings.url)

    async def open(self, *, clock: Clock) -> EventLog:
        raise AssertionError("configuration opens nothing")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder of the test, named `shop`, with no variable of the engine set."""
    for name in [name for name in os.environ if name.startswith("TRIGGER_ENGINE")]:
        monkeypatch.delenv(name)
    home = tmp_path / "shop"
    home.mkdir()
    monkeypatch.chdir(home)
    return home


@pytest.fixture
def write(folder: Path) -> Write:
    """Writes a TOML file, by default pyproject.toml in the current folder, and returns its path."""

    def write_file(text: str, path: Path | str = "pyproject.toml") -> Path:
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8")
        return target

    return write_file


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> type[ServerBackend]:
    """Makes `trigger_cls = "ServerTrigger"` a backend that requires an app id."""
    monkeypatch.setattr(
        "trigger_engine._config.loading.find_backend",
        lambda name: ServerBackend if name == ServerBackend.name else find_backend(name),
    )
    return ServerBackend


@pytest.fixture
def no_plugins(monkeypatch: pytest.MonkeyPatch) -> None:
    """No server backend is installed."""

    def find_built_in(name: str) -> type[Backend]:
        if name in {"RedisTrigger", "MongoTrigger", "RabbitMQTrigger"}:
            raise BackendNotInstalled(f"{name} is not installed: pip install trigger-engine[…]")
        return find_backend(name)

    monkeypatch.setattr("trigger_engine._config.loading.find_backend", find_built_in)
