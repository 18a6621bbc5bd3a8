"""A project in a folder of its own, whose programs run as processes and print JSON."""

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

from tests.support.programs import PATHS

QUICK = """
heartbeat_interval = 0.1
heartbeat_ttl = 2.0
lease_ttl = 1.0
checkpoint_interval = 0.2
shutdown_timeout = 5.0
"""


class Project:
    """Files below `folder`; relative paths in it are what the project's users would write."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def write(self, name: str, text: str) -> Path:
        """Writes a file, without the indentation that the test's own code gives it."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text), encoding="utf-8")
        return path

    def start(self, *arguments: str, **env: str) -> "subprocess.Popen[str]":
        """A Python process in the project's folder."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith("TRIGGER_ENGINE")}
        return subprocess.Popen(
            [sys.executable, "-W", "error", *arguments],
            cwd=self.folder,
            env={**kept, "PYTHONPATH": PATHS, "PYTHONDONTWRITEBYTECODE": "1", **env},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
        )

    def run(self, *arguments: str, **env: str) -> Any:
        """What a program prints, read as JSON; it must end well within a minute."""
        with self.start(*arguments, **env) as process:
            out, err = process.communicate(timeout=60)
        assert process.returncode == 0, out + err
        return json.loads(out) if out.strip() else None
