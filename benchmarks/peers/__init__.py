"""What do other task queues make of the same work, on the same machine, in the same run?

The best of them stands beside trigger-engine: plain tasks on SQLite, with a worker in a process of its own. On the
server of a backend, with a leader and a worker in processes of their own, whole runs of events stand beside the plain
tasks of one peer.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from statistics import median
from subprocess import CalledProcessError

from benchmarks.end_to_end import Work, events_in_three_processes, events_in_two_processes, rate_of
from benchmarks.harness import Figure, in_loop, runs_of
from benchmarks.peers.environments import runnable
from benchmarks.peers.running import PEERS, NotMeasured, rate
from benchmarks.servers import BACKENDS, serving
from benchmarks.stores import SQLITE, Place
from benchmarks.tasks import tasks_in_two_processes

PYTHON = "python3.12"
NAMES = tuple(dict.fromkeys(peer.name for peer in PEERS))
_SMALL = 100
_OURS = 20_000
_COMPARED = "saq"
"""Whose plain tasks stand beside whole runs of events on a server."""


def measure(*, small: bool, names: Sequence[str] = NAMES, python: str = PYTHON) -> Iterator[Figure]:
    """Each peer, then this project beside the best of them; they take turns, so that a busy minute hits all.

    A peer that fails is told of and left out. Raises NoPython.
    """
    runnable(python)
    peers = [peer for peer in PEERS if peer.name in names]
    count = _SMALL if small else _OURS
    found: dict[str, list[float]] = {peer.case: [] for peer in peers}
    tasks: list[float] = []
    runs: list[float] = []
    on_servers: dict[str, list[float]] = {}
    for _ in range(runs_of(small=small)):
        for peer in tuple(peers):
            try:
                found[peer.case].append(rate(peer, _SMALL if small else peer.tasks, python))
            except (NotMeasured, CalledProcessError) as exc:
                print(f"{peer.case}: not measured, {exc}", file=sys.stderr)
                peers.remove(peer)
        tasks.append(_rate(SQLITE, tasks_in_two_processes, count))
        runs.append(_rate(SQLITE, events_in_two_processes, count))
        for backend in BACKENDS:
            with serving(backend) as place:
                on_servers.setdefault(place.label, []).append(_rate(place, events_in_three_processes, count))
    for peer in peers:
        yield Figure("peers", peer.case, peer.unit, tuple(found[peer.case]))
    for unit, ours, case in (
        ("tasks/s", tasks, "trigger-engine, beside the best of the others"),
        ("runs/s", runs, "trigger-engine, event to finished run"),
    ):
        same = [peer for peer in peers if peer.unit == unit]
        best = max(same, key=lambda peer: median(found[peer.case]), default=None)
        yield Figure(
            "peers", case, unit, tuple(ours), tuple(found[best.case]) if best else (), best.name if best else ""
        )
    compared = next((peer for peer in peers if peer.name == _COMPARED), None)
    for label, rates in on_servers.items():
        yield Figure(
            "peers",
            f"trigger-engine on {label}, event to finished run",
            "runs/s",
            tuple(rates),
            tuple(found[compared.case]) if compared else (),
            f"plain tasks of {_COMPARED}" if compared else "",
        )


def _rate(place: Place, work: Work, count: int) -> float:
    with place.fresh() as store:
        return in_loop(rate_of(work, store, count))
