"""An environment with pinned versions for each peer, made on first use."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from shutil import which

HERE = Path(__file__).parent
ENVIRONMENTS = HERE.parents[1] / ".bench-peers"


class NoPython(Exception):
    """The Python of the environments is missing or does not run."""


def runnable(python: str) -> str:
    """The first on PATH that runs; a shim of an inactive version does not. Raises NoPython."""
    errors = ""
    for folder in os.environ.get("PATH", os.defpath).split(os.pathsep):
        if (found := which(python, path=folder)) is None:
            continue
        tried = subprocess.run([found, "--version"], capture_output=True, text=True, check=False)
        if tried.returncode == 0:
            return found
        errors += f"\n{found}: {(tried.stderr or tried.stdout).strip()}"
    raise NoPython(f"peers run on {python}, and none here runs: name another with --peer-python{errors}")


def environment(name: str, python: str) -> Path:
    """The folder of the programs of a peer's environment. Raises CalledProcessError, NoPython."""
    requirements = HERE / "requirements" / f"{name}.txt"
    folder = ENVIRONMENTS / name
    installed = folder / "requirements.txt"
    wanted = requirements.read_text(encoding="utf-8")
    if not installed.exists() or installed.read_text(encoding="utf-8") != wanted:
        subprocess.run([runnable(python), "-m", "venv", "--clear", folder], check=True)
        pip = [str(folder / "bin" / "python"), "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
        subprocess.run([*pip, "--requirement", str(requirements)], check=True)
        installed.write_text(wanted, encoding="utf-8")
    return folder / "bin"
