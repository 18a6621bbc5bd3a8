"""An environment with pinned versions for each peer, made on first use."""

from __future__ import annotations

import subprocess
from pathlib import Path
from shutil import which

HERE = Path(__file__).parent
ENVIRONMENTS = HERE.parents[1] / ".bench-peers"


class NoPython(Exception):
    """The Python that the environments want is not here, or does not run."""


def runnable(python: str) -> str:
    """Where a Python is. Raises NoPython; a shim of a version that is not active is found but does not run."""
    found = which(python)
    if found is None:
        raise NoPython(f"peers run on {python}, which is not here: name another one with --peer-python")
    asked = subprocess.run([found, "--version"], capture_output=True, text=True, check=False)
    if asked.returncode:
        words = (asked.stderr or asked.stdout).strip()
        raise NoPython(
            f"peers run on {python}, and {found} does not run; name one with --peer-python:\n{words}"
        )
    return found


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
