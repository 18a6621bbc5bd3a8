"""Fixtures: a project folder for every test, the program in this process, and the program as a process."""

import json
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from tests.integration.cli.program import Program
from tests.support.backends import SHARED, STORES
from tests.support.servers.shared import SharedServers
from trigger_engine._cli.main import app

Write = Callable[[str, str], Path]
Invoke = Callable[..., Result]
Start = Callable[..., Program]

SHOP = """
import logging

from trigger_engine import TriggerBuilder, TriggerEngine

logger = logging.getLogger("shop")
app = TriggerEngine()


@app.task(triggers=TriggerBuilder().on_event("user.login", payload_filter={"role": "admin"}))
async def notify() -> str:
    logger.info("an admin is here")
    return "notified"


@app.task
async def fail(reason: str) -> None:
    raise ValueError(reason)
"""
CONFIG = """
[tool.trigger_engine]
app_id = "shop"
heartbeat_interval = 0.1
heartbeat_ttl = 2.0
lease_ttl = 1.0
checkpoint_interval = 0.2
shutdown_timeout = 5.0

"""


@pytest.fixture
def store(request: pytest.FixtureRequest, servers: SharedServers) -> str:
    """The part of the configuration that selects the store; SQLite's default file unless a test selects another.

    `pytestmark = on_shared_backends` runs a module's tests on every backend that several processes can share.
    """
    name = getattr(request, "param", "sqlite")
    if name == "sqlite":
        return '[tool.trigger_engine.sqlite]\nsynchronous = "NORMAL"\n'
    settings = dict(STORES[name](Path(), servers))
    trigger_cls = settings.pop("trigger_cls")
    ((section, keys),) = settings.items()
    lines = [f"{key} = {json.dumps(value)}" for key, value in keys.items()]
    return "\n".join([f'trigger_cls = "{trigger_cls}"', f"[tool.trigger_engine.{section}]", *lines, ""])


on_shared_backends = pytest.mark.parametrize("store", SHARED, indirect=True)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, store: str) -> Iterator[Path]:
    """The test's current folder, with a configuration. Modules imported from it are removed afterwards."""
    for name in [name for name in os.environ if name.startswith("TRIGGER_ENGINE")]:
        monkeypatch.delenv(name)
    for name, value in {"TZ": "UTC", "XDG_CACHE_HOME": str(tmp_path / "cache"), "NO_COLOR": "1"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("COLUMNS", raising=False)
    home = tmp_path / "project"
    home.mkdir()
    (home / "pyproject.toml").write_text(CONFIG + store, encoding="utf-8")
    monkeypatch.chdir(home)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    before = set(sys.modules)
    yield home
    for name in set(sys.modules) - before:
        if (getattr(sys.modules[name], "__file__", None) or "").startswith(str(tmp_path)):
            del sys.modules[name]


@pytest.fixture
def write(folder: Path) -> Write:
    """Writes a file of the project and returns its path."""

    def write_file(path: str, text: str) -> Path:
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8")
        return target

    return write_file


@pytest.fixture
def shop(write: Write) -> Path:
    """An app in `shop.py`."""
    return write("shop.py", SHOP)


@pytest.fixture
def invoke() -> Invoke:
    """Calls the program in this process."""

    def call(*arguments: str, text: str | None = None, columns: int | None = None) -> Result:
        environment = {} if columns is None else {"COLUMNS": str(columns)}
        return CliRunner().invoke(app, list(arguments), input=text, env=environment, prog_name="trigger-engine")

    return call


@pytest.fixture
def start(folder: Path) -> Iterator[Start]:
    """Starts the program as a process. Processes that still run after the test are killed."""
    started: list[Program] = []

    def start_program(*arguments: str, **environment: str) -> Program:
        program = Program(arguments, folder, environment)
        started.append(program)
        return program

    yield start_program
    for program in started:
        program.close()
