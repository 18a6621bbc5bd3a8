"""An environment with pinned versions for each peer, made on first use."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from shutil import which

HERE = Path(__file__).parent
ENVIRONMENTS = HERE.parents[1] / ".bench-peers"


class NoPython(Exception):
    """The Python that the environments want is not here, or does not run."""


def runnable(python: str) -> str:
    """The first on PATH that runs: a shim of a version that is not active does not. Raises NoPython."""
    words = ""
    for folder in os.environ.get("PATH", os.defpath).split(os.pathsep):
        if (found := which(python, path=folder)) is None:
            continue
        asked = subprocess.run([found, "--version"], capture_output=True, text=True, check=False)
        if asked.returncode == 0:
            return found
        words += f"\n{found}: {(asked.stderr or asked.stdout).strip()}"
    raise NoPython(f"peers run on {python}, and none here runs: name one with --peer-python{words}")


def environment(name: str, python: str) -> Path:
    """The folder of the programs of a peer's environment. Raises CalledProcessError, NoPython."""
    requirements = HERE / "requirements" / f"{name}.txt"
    folder = ENVIRONMENTS / name
    installed = folder / "requirements.txt"
    wanted = requirements.read_text(encoding="utf-8")
    if not installed.exists() or installed.read_text(encoding="utf-8") != wanted:
        subprocess.run([runnable(python), "-m", "venv", "--clear", folder], check=True)
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
