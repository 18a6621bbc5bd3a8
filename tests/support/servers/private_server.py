"""A server process for tests, on a free port of 127.0.0.1 and with a temporary folder."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Self

HOST = "127.0.0.1"
PATIENCE = 60.0
"""Seconds within which a server must be ready, or gone."""

# On Linux the server ends with the tests, even if they are killed.
_ENDS_WITH_ITS_PARENT = """
import ctypes, os, signal, sys
if sys.platform == "linux":
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)
os.execvp(sys.argv[1], sys.argv[1:])
"""


class ServerMissing(Exception):
    """The program of a server is missing; the message says what to install. Tests fail, they are not skipped."""


class PrivateServer(ABC):
    """One server process. It keeps its data in `folder` and its `port` when it is stopped and started."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None

    @abstractmethod
    def command(self) -> Sequence[str]:
        """The program and its arguments. Raises ServerMissing."""

    @abstractmethod
    def is_ready(self) -> bool:
        """True when it answers; must not raise before."""

    @property
    @abstractmethod
    def url(self) -> str:
        """The URL for clients."""

    def environment(self) -> dict[str, str]:
        """The environment of the process."""
        return dict(os.environ)

    def start(self) -> Self:
        """Starts it with its existing data, and returns when it is ready."""
        assert self._process is None, "it is already started"
        with (self.folder / "output.log").open("ab") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-c", _ENDS_WITH_ITS_PARENT, *self.command()],
                cwd=self.folder,
                env=self.environment(),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )
        deadline = time.monotonic() + PATIENCE
        while not self.is_ready():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.kill()
                raise AssertionError(f"{' '.join(self.command())} is not ready:\n{self.output()}")
            time.sleep(0.01)
        return self

    def output(self) -> str:
        """What it has printed."""
        return (self.folder / "output.log").read_text(errors="replace")

    def stop(self) -> None:
        """Ends it gracefully; idempotent."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """Kills it; idempotent."""
        self._end(signal.SIGKILL)

    def pause(self) -> None:
        """Suspends it: connections stay open and get no answer."""
        self._running.send_signal(signal.SIGSTOP)
        # Returns once its last thread has stopped.
        os.waitpid(self.pid, os.WUNTRACED)

    def resume(self) -> None:
        """Resumes it."""
        self._running.send_signal(signal.SIGCONT)

    @property
    def is_started(self) -> bool:
        """True from start to stop or kill."""
        return self._process is not None

    @property
    def pid(self) -> int:
        """The process id."""
        return self._running.pid

    @property
    def _running(self) -> subprocess.Popen[bytes]:
        assert self._process is not None, "it is not started"
        return self._process

    def _end(self, how: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.send_signal(how)
        process.send_signal(signal.SIGCONT)
        try:
            process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *exc_info: object) -> None:
        self.kill()


def free_port() -> int:
    """A free port."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])
