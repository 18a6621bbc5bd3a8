"""The processes under soak."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import psutil

ROOT = Path(__file__).resolve().parents[2]
APP = "benchmarks.soak.app:app"
MIB = 2**20
_STOP_SECONDS = 60
_EMITTERS_APART = 1_000_000_000


class Load:
    """Runners, emitters and a reader of one app, killed at exit.

    `folder`: for their output. `cache`: for the caches of their histories.
    """

    def __init__(self, folder: Path, cache: Path, settings: Mapping[str, Any], retention_minutes: float) -> None:
        self._output = (folder / "output").open("ab")
        self._environment = {
            **os.environ,
            "SOAK_SETTINGS": json.dumps(settings),
            "SOAK_RETENTION_MINUTES": str(retention_minutes),
            "PYTHONPATH": str(ROOT),
            "XDG_CACHE_HOME": str(cache),
        }
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None) -> None:
        for process in self._processes.values():
            for child in psutil.Process(process.pid).children(recursive=True) if process.poll() is None else ():
                child.kill()
            process.kill()
            process.wait()
        self._output.close()

    def start(self, name: str, *arguments: str) -> None:
        """Starts `python -m ARGUMENTS` under a name."""
        self._processes[name] = self._open(arguments)

    def start_runner(self, name: str) -> None:
        self.start(name, "trigger_engine", "run", APP, "--log-level", "error")

    def start_emitter(self, index: int, rate: float) -> None:
        """Starts an emitter whose numbers no other one uses."""
        first = 1 + index * _EMITTERS_APART
        self.start(f"emitter {index + 1}", "benchmarks.soak.emitter", str(first), str(rate))

    def start_audit(self) -> subprocess.Popen[bytes]:
        """Starts an audit, which prints its report as JSON."""
        return self._open(("trigger_engine", "audit", APP, "--json"), stdout=subprocess.PIPE)

    def stop(self, name: str) -> None:
        """Ends a process with SIGTERM. Raises RuntimeError if it does not end, or fails."""
        process = self._processes.pop(name)
        process.send_signal(signal.SIGTERM)
        try:
            code = process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise RuntimeError(f"{name} did not stop within {_STOP_SECONDS} s") from None
        if code not in {0, -signal.SIGTERM, 128 + signal.SIGTERM}:
            raise RuntimeError(f"{name} ended with code {code}:\n{self.printed()}")

    def names(self, *prefixes: str) -> list[str]:
        """The names of running processes that begin with one of these."""
        return [name for name in self._processes if name.startswith(prefixes)]

    def sample(self, names: list[str]) -> Mapping[str, float]:
        """What these processes use. Raises RuntimeError if one of them has ended."""
        found: dict[str, float] = {}
        for name in names:
            process = self._processes[name]
            if process.poll() is not None:
                raise RuntimeError(f"{name} has ended with code {process.returncode}:\n{self.printed()}")
            found |= usage(name, psutil.Process(process.pid))
        return found

    def printed(self) -> str:
        """The end of the processes' output."""
        self._output.flush()
        return Path(self._output.name).read_text(encoding="utf-8", errors="replace")[-8_000:]

    def _open(self, arguments: tuple[str, ...], *, stdout: int | None = None) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [sys.executable, "-m", *arguments],
            cwd=ROOT,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=self._output if stdout is None else stdout,
            stderr=self._output,
        )


def usage(name: str, process: psutil.Process) -> dict[str, float]:
    """Memory, descriptors and threads of a process, and its children. Raises psutil.NoSuchProcess."""
    with process.oneshot():
        found = {
            f"{name}: memory, MiB": process.memory_info().rss / MIB,
            f"{name}: file descriptors": float(process.num_fds()),
            f"{name}: threads": float(process.num_threads()),
        }
    if children := process.children(recursive=True):
        rss = 0.0
        for child in children:
            with contextlib.suppress(psutil.NoSuchProcess):
                rss += child.memory_info().rss / MIB
        found[f"{name}: child processes"] = len(children)
        found[f"{name}: memory of child processes, MiB"] = rss
    return found
