"""One measurement of one peer: its worker, its producer, and the time between them."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.harness.measuring import fresh_folder
from benchmarks.harness.servers import private_url
from benchmarks.peers.environments import HERE, environment

PROGRAMS = HERE / "programs"
_PATIENCE = 300.0
_STARTS = 3
_START_PATIENCE = 30.0
"""Seconds until a worker is started again, which may lose a task that was sent while it started."""

_ON_REDIS, _ON_SQLITE = "Redis", "SQLite, FULL"


@dataclass(frozen=True, slots=True)
class Peer:
    """A peer. `worker`: its command, whose first word is a program of its environment; `tasks`: how many are measured.

    `producer`: further arguments of its producer, such as what to produce.
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
    """A program of a peer failed or took too long; with the end of its output."""


class _NotReady(NotMeasured):
    """The worker runs, but has not run the first task that it was sent."""


def rate(peer: Peer, tasks: int, python: str) -> float:
    """Tasks per second, from the first call to the end of the last task.

    Raises NotMeasured, CalledProcessError, NoPython.
    """
    for _ in range(_STARTS - 1):
        with contextlib.suppress(_NotReady):
            return _rate(peer, tasks, python)
    return _rate(peer, tasks, python)


def _rate(peer: Peer, tasks: int, python: str) -> float:
    programs = environment(peer.name, python)
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(fresh_folder())
        variables = {
            **os.environ,
            "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": str(PROGRAMS),
            "PEER_FOLDER": str(folder),
            "PEER_TASKS": str(tasks),
            "PEER_REDIS": stack.enter_context(private_url("redis")) if peer.store == _ON_REDIS else "",
        }
        program, *words = peer.worker.split()
        output = stack.enter_context((folder / "output").open("wb"))
        worker = subprocess.Popen(
            [programs / program, *words],
            cwd=PROGRAMS,
            env=variables,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
        stack.callback(_end, worker)
        produce = [str(programs / "python"), "producer.py", peer.name]
        _run([*produce, "warm-up", *peer.producer], variables)
        _noted(folder, "ready", worker, _START_PATIENCE, late=_NotReady)
        begun = float(_run([*produce, "produce", *peer.producer], variables))
        return tasks / (_noted(folder, "finished", worker, _PATIENCE, late=NotMeasured) - begun)


def _run(command: Sequence[str], variables: dict[str, str]) -> str:
    done = subprocess.run(
        command, cwd=PROGRAMS, env=variables, capture_output=True, text=True, timeout=_PATIENCE, check=False
    )
    if done.returncode:
        raise NotMeasured(f"{' '.join(command)} ended with code {done.returncode}:\n{done.stderr[-2_000:]}")
    return done.stdout


def _noted(folder: Path, name: str, worker: subprocess.Popen[bytes], patience: float, late: type[NotMeasured]) -> float:
    """When the worker wrote the file of this name, in seconds since 1970."""
    deadline = time.monotonic() + patience
    while not (folder / name).exists():
        ended = worker.poll() is not None
        if ended or time.monotonic() > deadline:
            printed = (folder / "output").read_text()[-2_000:]
            raise (NotMeasured if ended else late)(f"the worker is not {name}:\n{printed}")
        time.sleep(0.01)
    return float((folder / name).read_text())


def _end(worker: subprocess.Popen[bytes]) -> None:
    """Kills the worker and the processes that it started."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(worker.pid, signal.SIGKILL)
    worker.wait()
