"""One measurement of one peer: its worker, its producer, and the time between them."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.peers.environments import HERE, environment
from benchmarks.peers.valkey import valkey

PROGRAMS = HERE / "programs"
_PATIENCE = 300.0
_STARTS = 3
_START_PATIENCE = 30.0
"""Seconds after which a worker is started anew, so often at most: a peer may lose what it was sent while it started."""
_ON_REDIS, _ON_SQLITE = "Redis", "SQLite, FULL"


@dataclass(frozen=True, slots=True)
class Peer:
    """A peer. `worker`: its command, the first word a program of its environment; `tasks`: how many are measured.

    `producer`: further words for its producer, such as what it is to produce.
    """

    name: str
    worker: str
    store: str
    tasks: int
    producer: tuple[str, ...] = ()
    unit: str = "tasks/s"

    @property
    def case(self) -> str:
        what = "event to finished run" if self.unit == "runs/s" else "plain tasks"
        return f"{self.name}, {self.store}, {what}"


_TASKIQ = (
    "taskiq worker taskiq_peer:broker --workers 1 --max-async-tasks 100 --max-prefetch 100 --no-parse "
    "--ack-type when_received --log-level WARNING"
)
_HUEY = "huey_consumer huey_peer.huey -w 1 -k thread -d 0.001 -m 0.01 -C -q"
_CELERY = (
    "celery -A celery_peer worker --pool solo --loglevel ERROR --without-gossip --without-mingle --without-heartbeat"
)
_PYNENC = "pynenc --app pynenc_peer.app runner start"
PEERS = (
    Peer("saq", "saq saq_peer.settings --quiet", _ON_REDIS, 10_000),
    Peer("taskiq", _TASKIQ, _ON_REDIS, 10_000),
    Peer("arq", "arq arq_peer.WorkerSettings", _ON_REDIS, 10_000),
    Peer("dramatiq", "dramatiq dramatiq_peer --processes 1 --threads 8", _ON_REDIS, 10_000),
    Peer("huey", _HUEY, _ON_SQLITE, 5_000),
    Peer("celery", _CELERY, _ON_REDIS, 5_000),
    Peer("pynenc", _PYNENC, "SQLite", 500),
    Peer("pynenc", _PYNENC, "SQLite", 500, ("events",), "runs/s"),
)


class NotMeasured(Exception):
    """A peer's program failed, or did not do its work in time; with its last words."""


class _NotReady(NotMeasured):
    """The worker runs, but not the first task that it was sent."""


def rate(peer: Peer, tasks: int, python: str) -> float:
    """Tasks a second, from the first call to the end of the last. Raises NotMeasured, CalledProcessError, NoPython."""
    for _ in range(_STARTS - 1):
        with contextlib.suppress(_NotReady):
            return _rate_of_one_start(peer, tasks, python)
    return _rate_of_one_start(peer, tasks, python)


def _rate_of_one_start(peer: Peer, tasks: int, python: str) -> float:
    programs = environment(peer.name, python)
    with tempfile.TemporaryDirectory(prefix="trigger-engine-peer-") as name:
        folder = Path(name)
        if peer.store != _ON_REDIS:
            return _rate(peer, tasks, programs, folder, url="")
        data = folder / "valkey"
        data.mkdir()
        with valkey(data, python) as url:
            return _rate(peer, tasks, programs, folder, url)


def _rate(peer: Peer, tasks: int, programs: Path, folder: Path, url: str) -> float:
    surroundings = {
        **os.environ,
        "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(PROGRAMS),
        "PEER_FOLDER": str(folder),
        "PEER_TASKS": str(tasks),
        "PEER_REDIS": url,
    }
    worker_program, *words = peer.worker.split()
    with (folder / "output").open("wb") as output:
        worker = subprocess.Popen(
            [programs / worker_program, *words],
            cwd=PROGRAMS,
            env=surroundings,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        produce = [str(programs / "python"), "producer.py", peer.name]
        _run([*produce, "warm-up", *peer.producer], surroundings)
        _noted(folder, "ready", worker, _START_PATIENCE, late=_NotReady)
        begun = float(_run([*produce, "produce", *peer.producer], surroundings))
        return tasks / (_noted(folder, "finished", worker, _PATIENCE) - begun)
    finally:
        _end(worker)


def _run(command: Sequence[str], surroundings: dict[str, str]) -> str:
    done = subprocess.run(
        command, cwd=PROGRAMS, env=surroundings, capture_output=True, text=True, timeout=_PATIENCE, check=False
    )
    if done.returncode:
        raise NotMeasured(f"{' '.join(command)} ended with code {done.returncode}:\n{done.stderr[-2_000:]}")
    return done.stdout


def _noted(
    folder: Path,
    name: str,
    worker: subprocess.Popen[bytes],
    patience: float,
    late: type[NotMeasured] = NotMeasured,
) -> float:
    """When the worker noted something, seconds since 1970."""
    deadline = time.monotonic() + patience
    while not (folder / name).exists():
        ended = worker.poll() is not None
        if ended or time.monotonic() > deadline:
            words = (folder / "output").read_text()[-2_000:]
            raise (NotMeasured if ended else late)(f"the worker is not {name}:\n{words}")
        time.sleep(0.01)
    return float((folder / name).read_text())


def _end(worker: subprocess.Popen[bytes]) -> None:
    """Ends the worker and what it has started."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(worker.pid, signal.SIGKILL)
    worker.wait()
