"""How fast are other task queues at the same work, on the same machine, in the same session?

The best of them stands beside trigger-engine for plain tasks on SQLite. On the server of a backend, whole runs of
events stand beside the plain tasks of one peer.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from functools import partial
from statistics import median
from subprocess import CalledProcessError

from benchmarks.end_to_end import in_processes, rate_of
from benchmarks.harness.measuring import Figure, runs_of
from benchmarks.harness.servers import BACKENDS, place_of
from benchmarks.harness.stores import SQLITE
from benchmarks.peers.environments import runnable
from benchmarks.peers.running import PEERS, NotMeasured, rate
from benchmarks.tasks import enqueue

PYTHON = "python3.12"
NAMES = tuple(dict.fromkeys(peer.name for peer in PEERS))
_SMALL, _OURS = 100, 20_000
_COMPARED = "saq"
"""Its plain tasks stand beside whole runs of events on a server."""

_TASKS, _RUNS = "trigger-engine, beside the best of the others", "trigger-engine, event to finished run"


def measure(*, small: bool, names: Sequence[str] = NAMES, python: str = PYTHON) -> Iterator[Figure]:
    """Peers and this project take turns, so that other load on the machine affects all. A peer that fails is reported
    and left out. Raises NoPython.
    """
    runnable(python)
    peers = [peer for peer in PEERS if peer.name in names]
    found: dict[str, list[float]] = {peer.case: [] for peer in peers}
    for _ in range(runs_of(small=small)):
        for peer in tuple(peers):
            try:
                found[peer.case].append(rate(peer, _SMALL if small else peer.tasks, python))
            except (NotMeasured, CalledProcessError) as exc:
                print(f"{peer.case}: not measured, {exc}", file=sys.stderr)
                peers.remove(peer)
        for case, one in _ours(_SMALL if small else _OURS):
            found.setdefault(case, []).append(one)
    for peer in peers:
        yield Figure("peers", peer.case, peer.unit, tuple(found[peer.case]))

    def figure(case: str, unit: str, other: str | None, what: str) -> Figure:
        beside = tuple(found[other]) if other is not None else ()
        return Figure("peers", case, unit, tuple(found[case]), beside, what if beside else "")

    for case, unit in ((_TASKS, "tasks/s"), (_RUNS, "runs/s")):
        same = [peer for peer in peers if peer.unit == unit]
        best = max(same, key=lambda peer: median(found[peer.case]), default=None)
        yield figure(case, unit, best.case if best else None, best.name if best else "")
    compared = next((peer.case for peer in peers if peer.name == _COMPARED), None)
    for backend in BACKENDS.values():
        yield figure(_on_server(backend.label), "runs/s", compared, f"plain tasks of {_COMPARED}")


def _ours(count: int) -> Iterator[tuple[str, float]]:
    """The rates of this project, by case."""
    yield _TASKS, rate_of(SQLITE, partial(in_processes, call=enqueue), count)
    yield _RUNS, rate_of(SQLITE, in_processes, count)
    for name in BACKENDS:
        with place_of(name) as place:
            assert place is not None
            yield _on_server(place.label), rate_of(place, partial(in_processes, runners=(False, True)), count)


def _on_server(label: str) -> str:
    return f"trigger-engine on {label}, event to finished run"
