"""The folder of one run: what lies in it, and how its processes find it."""

from __future__ import annotations

import mmap
import os
import struct
import time
from dataclasses import dataclass
from pathlib import Path

_OFFSET = struct.Struct("<d")
_FOLDER, _STORE = "CHAOS_FOLDER", "CHAOS_STORE"


class MovedClock:
    """The wall clock of every process of a run: seconds since 1970, off by what the file says just now."""

    def __init__(self, path: Path) -> None:
        if not path.exists():
            path.write_bytes(_OFFSET.pack(0.0))
        with path.open("r+b") as file:
            self._shared = mmap.mmap(file.fileno(), _OFFSET.size)

    def __call__(self) -> float:
        return time.time() + self.offset

    @property
    def offset(self) -> float:
        """Seconds that it is ahead of the real clock."""
        return float(_OFFSET.unpack(self._shared[:])[0])

    @offset.setter
    def offset(self, seconds: float) -> None:
        self._shared[:] = _OFFSET.pack(seconds)


@dataclass(frozen=True)
class Place:
    """Paths of one run. `executions`, `beats`: written by runners; `emitted`: a folder with a file for each emitter."""

    folder: Path
    store: str

    @classmethod
    def of_environment(cls) -> Place:
        """As the driver has told this process."""
        return cls(Path(os.environ[_FOLDER]), os.environ[_STORE])

    @property
    def environment(self) -> dict[str, str]:
        """What a process of the run must be told."""
        return {_FOLDER: str(self.folder), _STORE: self.store, "XDG_CACHE_HOME": str(self.folder / "cache")}

    @property
    def clock(self) -> Path:
        return self.folder / "clock"

    @property
    def executions(self) -> Path:
        return self.folder / "executions"

    @property
    def beats(self) -> Path:
        return self.folder / "beats"

    @property
    def emitted(self) -> Path:
        return self.folder / "emitted"

    @property
    def logs(self) -> Path:
        return self.folder / "logs"

    @property
    def stop(self) -> Path:
        """Emitters and readers end by themselves once this file is there."""
        return self.folder / "stop"

    def code(self, version: str) -> Path:
        """The import folder of one version of the reactions."""
        return self.folder / "code" / version

    def mark(self, role: str, moment: str) -> Path:
        """The first process of a role that finds this file dies of it; `moment`: "in" or "after" an append."""
        return self.folder / f"die-{role}-{moment}-append"


def add_line(path: Path, line: str) -> None:
    """Appends a line at once, whoever else writes to the file."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        os.write(descriptor, f"{line}\n".encode())
    finally:
        os.close(descriptor)


def lines(path: Path) -> list[list[str]]:
    """The words of each whole line of a file, none where there is no file."""
    if not path.exists():
        return []
    return [line.split() for line in path.read_text().split("\n")[:-1]]
