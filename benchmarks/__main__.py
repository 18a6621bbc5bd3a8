"""Runs benchmarks by name, or all of them: `python -m benchmarks [emit] [latency] … [--backend redis] [--write]`.

`growth` runs only when it is named. `report` measures nothing: it makes the figures of
docs/performance.md from the newest results. With `--backend` they run on a private server of that backend; without
names and without it, on SQLite, in memory and on every server.
"""

from __future__ import annotations

import argparse
import importlib
import signal
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from benchmarks.harness import question_of
from benchmarks.machine import machine
from benchmarks.peers.environments import NoPython
from benchmarks.results import NoResults, newest_results, write_results
from benchmarks.servers import BACKENDS
from benchmarks.tables import print_figures, write_docs

USUAL = ("emit", "end_to_end", "breakdown", "tasks", "matcher", "latency", "start_up", "idle", "monitor")
PEERS = "peers"
"""Needs a Python and packages of its own; left out where nothing is named and these are not to be had."""
GROWTH = "growth"
"""Long: runs only when it is named."""
ON_SERVERS = ("emit", "end_to_end", "tasks", "latency")
"""Those that run on a backend's server, too."""

REPORT = "report"


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    allowed = (*USUAL, PEERS, GROWTH, REPORT)
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help=f"one of {', '.join(allowed)}; usually all but the last 2"
    )
    parser.add_argument("--small", action="store_true", help="a short run that only shows that it works")
    parser.add_argument("--write", action="store_true", help="write benchmarks/results/<date>.json and docs")
    parser.add_argument(
        "--backend", action="append", choices=list(BACKENDS), help="on a server of its own; may be given several times"
    )
    parser.add_argument("--peer", action="append", help="of peers, only this one; may be given several times")
    parser.add_argument("--peer-python", help="the Python of the peers (default: python3.12)")
    options = parser.parse_args()
    measurable, where = ((*ON_SERVERS, REPORT), " on a server") if options.backend else (allowed, "")
    for name in options.names:
        if name not in measurable:
            parser.error(f"no benchmark {name!r}{where}: choose from {', '.join(measurable)}")
    if options.small and options.write:
        parser.error("--small is too short to keep what it measures: leave out --write")
    # So that ending the benchmarks ends their processes.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    for name, backend in _wanted(options.names, options.backend):
        try:
            _measure(name, backend, _given(name, options), small=options.small, write=options.write)
        except NoPython as exc:
            if options.names:
                sys.exit(str(exc))
            print(exc, file=sys.stderr)
    if options.write or REPORT in options.names:
        try:
            write_docs(newest_results())
        except NoResults as exc:
            sys.exit(str(exc))


def _wanted(names: Sequence[str], backends: Sequence[str] | None) -> Iterator[tuple[str, str | None]]:
    """Each benchmark with the backend on whose server it runs, None for those that need none."""
    measured = [name for name in names if name != REPORT]
    if backends is None:
        yield from ((name, None) for name in (measured if names else (*USUAL, PEERS)))
    if backends is not None or not names:
        for backend in backends or BACKENDS:
            yield from ((name, backend) for name in (measured if names else ON_SERVERS))


def _given(name: str, options: argparse.Namespace) -> dict[str, Any]:
    """What the command line says of one benchmark alone."""
    given = {"names": options.peer, "python": options.peer_python} if name == PEERS else {}
    return {key: value for key, value in given.items() if value is not None}


def _measure(name: str, backend: str | None, given: Mapping[str, Any], *, small: bool, write: bool) -> None:
    question = name if backend is None else question_of(name, backend)
    ran_on = machine(() if backend is None else BACKENDS[backend].packages)
    on_server = {} if backend is None else {"backend": backend}
    figures = list(importlib.import_module(f"benchmarks.{name}").measure(small=small, **on_server, **given))
    print_figures(question, figures)
    if write:
        print(f"written: {write_results(question, figures, ran_on)}")


if __name__ == "__main__":
    main()
