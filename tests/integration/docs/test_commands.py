"""The commands of the README, run in a shell as they are written there, on the app that stands there."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.docs.pages import blocks
from tests.support.project import ROOT

README = blocks(ROOT / "README.md")
PATIENCE = 30.0
HEX_ID = re.compile(r"\b[0-9a-f]{32}\b")


class Shell:
    """The folder of the README's app, and its program."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._env = os.environ | {"PYTHONPATH": str(ROOT), "XDG_CACHE_HOME": str(folder / "cache"), "COLUMNS": "200"}

    def start(self, command: str) -> subprocess.Popen[str]:
        """Starts a command; what it logs is thrown away."""
        return subprocess.Popen(
            self._words(command), cwd=self.folder, env=self._env, text=True, stderr=subprocess.DEVNULL
        )

    def __call__(self, command: str) -> str:
        """What a command prints; it must succeed."""
        done = subprocess.run(
            self._words(command),
            cwd=self.folder,
            env=self._env,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
        return done.stdout

    def _words(self, command: str) -> list[str]:
        program, *words = shlex.split(command, comments=True)
        assert program == "trigger-engine"
        return [sys.executable, "-m", "trigger_engine", *words]


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    (app,) = [block for block in README if block.filename == "shop.py"]
    (tmp_path / "shop.py").write_text(app.source, encoding="utf-8")
    return Shell(tmp_path)


@pytest.fixture
def commands() -> dict[str, str]:
    """The commands of the README by name."""
    lines = [line for block in README if block.language == "sh" for line in block.source.splitlines()]
    return {line.split()[1]: line for line in lines if line.startswith("trigger-engine")}


@pytest.fixture
def runner(shell: Shell, commands: dict[str, str]) -> Iterator[subprocess.Popen[str]]:
    process = shell.start(commands.pop("run"))
    yield process
    process.terminate()
    assert process.wait(PATIENCE) == 0


@pytest.mark.slow
@pytest.mark.usefixtures("runner")
def test_every_command_does_what_the_readme_says(shell: Shell, commands: dict[str, str]) -> None:
    shell(commands.pop("emit"))
    refused = shell("""trigger-engine emit shop:app order.paid '{"order": "A-9", "country": "SE"}'""").strip()
    runs: list[dict[str, str]] = []
    for _ in range(60):
        runs = [json.loads(line) for line in shell("trigger-engine runs shop:app --json").splitlines()]
        if len(runs) == 2:
            break
    assert [run["task_id"] for run in runs] == ["shop.tell_customer", "shop.ship"]
    explained = shell(commands.pop("explain").replace("EVENT_ID", refused))
    (shown,) = [block.source for block in README if block.language == "text" and block.source.startswith("event ")]
    assert HEX_ID.sub("ID", explained).startswith(HEX_ID.sub("ID", shown))
    for command in commands.values():
        shell(command)
