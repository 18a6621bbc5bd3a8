"""`trigger-engine` as a process. Tests wait for its lines and never sleep."""

import os
import queue
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

from tests.support.programs import PATHS

DEADLINE = 30.0


class Program:
    """A started program. `lines`: its output so far, from both streams."""

    def __init__(self, arguments: Sequence[str], folder: Path, environment: Mapping[str, str]) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "trigger_engine", *arguments],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": PATHS, "PYTHONDONTWRITEBYTECODE": "1", **environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            start_new_session=True,
        )
        self.lines: list[str] = []
        self._arrived: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        assert self.process.stdout is not None
        self._reader = threading.Thread(target=self._read, args=(self.process.stdout,), daemon=True)
        self._reader.start()

    def wait_for(self, pattern: str) -> re.Match[str]:
        """Waits for the next line that matches. Fails if the program ends or takes too long."""
        end = time.monotonic() + DEADLINE
        while True:
            try:
                line = self._arrived.get(timeout=max(end - time.monotonic(), 0.01))
            except queue.Empty:
                line = None
            if line is None:
                raise AssertionError(f"no line with {pattern!r} in:\n" + "\n".join(self.lines))
            self.lines.append(line)
            if found := re.search(pattern, line):
                return found

    def send(self, number: signal.Signals) -> None:
        """Sends a signal to the program only."""
        self.process.send_signal(number)

    def wait(self) -> int:
        """Waits for the end and returns the exit code. `lines` is then complete."""
        code = self.process.wait(DEADLINE)
        self._reader.join(DEADLINE)
        while not self._arrived.empty():
            line = self._arrived.get()
            if line is not None:
                self.lines.append(line)
        return code

    @property
    def text(self) -> str:
        """The output read so far."""
        return "\n".join(self.lines)

    def close(self) -> None:
        """Kills the program if it is still running."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait(DEADLINE)
        self._reader.join(DEADLINE)
        assert self.process.stdout is not None
        self.process.stdout.close()

    def _read(self, stream: IO[str]) -> None:
        for line in stream:
            self._arrived.put(line.rstrip("\n"))
        self._arrived.put(None)
