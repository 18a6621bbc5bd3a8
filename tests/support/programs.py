"""Runs Python programs in other processes, on one SQLite file unless the environment names another backend."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.support.project import ROOT

PATHS = os.pathsep.join(map(str, [ROOT, *sorted((ROOT / "backends").glob("*"))]))
"""What programs need on PYTHONPATH to import the project and its backends from here."""


def settings_as_environment(settings: Mapping[str, Any], prefix: str = "TRIGGER_ENGINE") -> dict[str, str]:
    """The environment variables that give an app these settings, such as those of a backend."""
    found: dict[str, str] = {}
    for key, value in settings.items():
        name = f"{prefix}__{key.upper()}"
        found.update(settings_as_environment(value, name) if isinstance(value, Mapping) else {name: str(value)})
    return found


def environment(folder: Path) -> dict[str, str]:
    """For programs in a folder: it and the project are importable, and it holds data and cache."""
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(folder), PATHS]),
        "PYTHONUNBUFFERED": "1",
        "XDG_CACHE_HOME": str(folder / "cache"),
        "TRIGGER_ENGINE__SQLITE__SQLITE_DB_PATH": str(folder / "shared.db"),
        "TRIGGER_ENGINE__SQLITE__SYNCHRONOUS": "NORMAL",
        "TRIGGER_ENGINE__APP_ID": "shared",
    }


def run(folder: Path, *arguments: str, timeout: float = 60.0) -> subprocess.CompletedProcess[str]:
    """Runs `python ARGUMENTS` and waits for it."""
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env=environment(folder),
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )


@contextmanager
def started(folder: Path, *arguments: str, **variables: str) -> Iterator[subprocess.Popen[str]]:
    """Runs `python ARGUMENTS` beside the test, and kills it and its group at the end if it is still up."""
    with (folder / "output").open("a") as output:
        process = subprocess.Popen(
            [sys.executable, *arguments],
            cwd=folder,
            env={**environment(folder), **variables},
            stdout=output,
            stderr=output,
            text=True,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def output(folder: Path) -> str:
    """What the programs of a folder have printed."""
    return (folder / "output").read_text()


def is_alive(pid: int) -> bool:
    """True while a process runs."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    if not Path("/proc/self/stat").exists():
        return True
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False
