"""Runs a program beside a server of its own: `python -m tests.support.servers.run redis PROGRAM ARGUMENTS…`.

The program finds the server by the environment, where nothing else says where one is.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.support.servers.shared import SharedServers


def main(name: str, *command: str) -> int:
    """Returns the exit code of the program."""
    with tempfile.TemporaryDirectory(prefix="trigger-engine-server-") as folder, SharedServers(Path(folder)) as servers:
        variable = f"TRIGGER_ENGINE__{name.upper()}__URL"
        environment = {**os.environ, variable: os.environ.get(variable) or servers.url(name)}
        return subprocess.run(command, env=environment, check=False).returncode


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
