"""What do other task queues make of the same work, on the same machine, in the same run?

The best of them stands beside trigger-engine: plain tasks on SQLite, with a worker in a process of its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from statistics import median

from benchmarks.end_to_end import events_in_two_processes
from benchmarks.harness import Figure, fresh_database, in_loop, runs_of
from benchmarks.peers.running import PEERS, rate
from benchmarks.tasks import tasks_in_two_processes

PYTHON = "python3.12"
NAMES = tuple(dict.fromkeys(peer.name for peer in PEERS))
_SMALL = 100
_OURS = 20_000


def measure(*, small: bool, names: Sequence[str] = NAMES, python: str = PYTHON) -> Iterator[Figure]:
    """Each peer, then this project beside the best of them; they take turns, so that a busy minute hits all."""
    peers = [peer for peer in PEERS if peer.name in names]
    count = _SMALL if small else _OURS
    found: dict[str, list[float]] = {peer.case: [] for peer in peers}
    tasks, runs = [], []
    for _ in range(runs_of(small=small)):
        for peer in peers:
            found[peer.case].append(rate(peer, _SMALL if small else peer.tasks, python))
        with fresh_database() as path:
            tasks.append(in_loop(tasks_in_two_processes(path, count)))
        with fresh_database() as path:
            runs.append(in_loop(events_in_two_processes(path, count)))
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
