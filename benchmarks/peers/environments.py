"""An environment with pinned versions for each peer, made on first use."""

from __future__ import annotations

import subprocess
from pathlib import Path
from shutil import which

HERE = Path(__file__).parent
ENVIRONMENTS = HERE.parents[1] / ".bench-peers"


def environment(name: str, python: str) -> Path:
    """The folder of the programs of a peer's environment. Raises CalledProcessError, FileNotFoundError."""
    requirements = HERE / "requirements" / f"{name}.txt"
    folder = ENVIRONMENTS / name
    installed = folder / "requirements.txt"
    wanted = requirements.read_text(encoding="utf-8")
    if not installed.exists() or installed.read_text(encoding="utf-8") != wanted:
        found = which(python)
        if found is None:
            raise FileNotFoundError(f"no {python} is here: name another with --peer-python")
        subprocess.run([found, "-m", "venv", "--clear", folder], check=True)
        pip: list[str | Path] = [
            folder / "bin" / "python",
            "-m",
            "pip",
            "--disable-pip-version-check",
            "install",
            "--quiet",
        ]
        subprocess.run([*pip, "--requirement", requirements], check=True)
        installed.write_text(wanted, encoding="utf-8")
    return folder / "bin"
