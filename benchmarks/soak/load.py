"""The processes under soak."""

from __future__ import annotations

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

from benchmarks.soak import sampling

ROOT = Path(__file__).resolve().parents[2]
APP = "benchmarks.soak.app:app"
_STOP_SECONDS = 60
_EMITTERS_APART = 1_000_000_000


class Load:
    """Runners, emitters and a reader of one app; all are ended when it is left. `folder`: for what they print."""

    def __init__(self, folder: Path, settings: Mapping[str, Any], retention_minutes: float) -> None:
        self.cache = Path(os.environ["XDG_CACHE_HOME"])
        self._output = (folder / "output").open("ab")
        self._environment = {
            **os.environ,
            "SOAK_SETTINGS": json.dumps(settings),
            "SOAK_RETENTION_MINUTES": str(retention_minutes),
            "PYTHONPATH": str(ROOT),
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
        """A runner, as the command line starts it."""
        self.start(name, "trigger_engine", "run", APP, "--log-level", "error")

    def start_emitter(self, index: int, rate: float) -> None:
        """An emitter with numbers of its own."""
        first = 1 + index * _EMITTERS_APART
        self.start(f"emitter {index + 1}", "benchmarks.soak.emitter", str(first), str(rate))

    def start_audit(self) -> subprocess.Popen[bytes]:
        """An audit beside the load; its report, JSON, is what it prints."""
        return self._open(("trigger_engine", "audit", APP, "--json"), stdout=subprocess.PIPE)

    def stop(self, name: str) -> None:
        """Ends a process as a supervisor would. Raises RuntimeError when it does not end well."""
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

    def names(self, prefix: str) -> list[str]:
        """Those that run, by the beginning of their names."""
        return [name for name in self._processes if name.startswith(prefix)]

    def sample(self, names: list[str]) -> Mapping[str, float]:
        """What these processes use. Raises RuntimeError when one of them has ended."""
        found: dict[str, float] = {}
        for name in names:
            process = self._processes[name]
            if process.poll() is not None:
                raise RuntimeError(f"{name} has ended with code {process.returncode}:\n{self.printed()}")
            found |= sampling.of_process(name, psutil.Process(process.pid))
        return found

    def printed(self) -> str:
        """The end of what the processes have printed."""
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
