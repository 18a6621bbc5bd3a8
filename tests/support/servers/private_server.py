"""A server of the tests' own: a program on a free port of 127.0.0.1, with a throw-away folder, ended by its pid."""

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

# The server ends with the tests, also when these are killed and no fixture is left to end it (Linux).
_ENDS_WITH_ITS_PARENT = """
import ctypes, os, signal, sys
if sys.platform == "linux":
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)
os.execvp(sys.argv[1], sys.argv[1:])
"""


class ServerMissing(Exception):
    """A server's program is not there; the message says what to install. It fails the tests, it skips none."""


class PrivateServer(ABC):
    """One server process. `folder` keeps its data over stop and start; `port` stays its own."""

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
        """True when it answers; must not raise while it does not."""

    @property
    @abstractmethod
    def url(self) -> str:
        """Where clients find it."""

    def environment(self) -> dict[str, str]:
        """The variables that it is started with."""
        return dict(os.environ)

    def start(self) -> Self:
        """Starts it, with the data that it had, and returns when it is ready."""
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
        """Ends it as an administrator would, so that it saves what it has; twice is harmless."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """Ends it without warning; twice is harmless."""
        self._end(signal.SIGKILL)

    def pause(self) -> None:
        """Lets it hang: connections stay open and nothing is answered."""
        self._running.send_signal(signal.SIGSTOP)
        # Only then has its last thread stopped.
        os.waitpid(self.pid, os.WUNTRACED)

    def resume(self) -> None:
        """Lets it go on."""
        self._running.send_signal(signal.SIGCONT)

    @property
    def is_started(self) -> bool:
        """True from start to stop or kill."""
        return self._process is not None

    @property
    def pid(self) -> int:
        """Its process."""
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
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])
