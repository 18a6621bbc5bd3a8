"""Benchmarks: `python -m benchmarks [NAME...]`, `python -m benchmarks report`, `python -m benchmarks pair`.

Without names: all but growth, on SQLite, in memory and on every server. `report` makes the documentation from
benchmarks/results. `pair` compares this tree with another revision.
"""

from __future__ import annotations

import argparse
import importlib
import signal
import sys
from collections.abc import Iterator, Sequence
from typing import Any

from benchmarks.harness import pair
from benchmarks.harness.measuring import question_of
from benchmarks.harness.report import print_figures, write_docs
from benchmarks.harness.results import NoResults, machine, newest_results, write_results
from benchmarks.harness.servers import BACKENDS
from benchmarks.peers.environments import NoPython

USUAL = ("emit", "end_to_end", "breakdown", "tasks", "matcher", "latency", "start_up", "idle", "monitor")
PEERS = "peers"
"""Needs another Python and packages from the registry; skipped without them unless it is named."""

GROWTH = "growth"
"""Takes most of an hour; runs only if it is named."""

ON_SERVERS = ("emit", "end_to_end", "tasks", "latency")


def main() -> None:
    # So that SIGTERM also ends the processes of a benchmark.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    command, *arguments = sys.argv[1:] or [""]
    if command == "pair":
        pair.main(arguments)
        return
    if command != "report":
        measure(_options())
        if "--write" not in sys.argv:
            return
    try:
        write_docs(newest_results())
    except NoResults as exc:
        sys.exit(str(exc))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    names = (*USUAL, PEERS, GROWTH)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"one of {', '.join(names)}")
    parser.add_argument("--small", action="store_true", help="a short run that only shows that it works")
    parser.add_argument("--write", action="store_true", help="write benchmarks/results/<date>.json and docs")
    parser.add_argument("--backend", action="append", choices=list(BACKENDS), help="on a private server; repeatable")
    parser.add_argument("--peer", action="append", help="only this peer; repeatable")
    parser.add_argument("--peer-python", help="the Python of the peers (default: python3.12)")
    options = parser.parse_args()
    allowed, where = (ON_SERVERS, " on a server") if options.backend else (names, "")
    for name in options.names:
        if name not in allowed:
            parser.error(f"no benchmark {name!r}{where}: choose from {', '.join(allowed)}")
    if options.small and options.write:
        parser.error("--small runs are too short to be stored: leave out --write")
    return options


def measure(options: argparse.Namespace) -> None:
    for name, backend in _wanted(options.names, options.backend):
        extra: dict[str, Any] = {} if backend is None else {"backend": backend}
        if name == PEERS:
            given = {"names": options.peer, "python": options.peer_python}
            extra = {key: value for key, value in given.items() if value is not None}
        ran_on = machine(() if backend is None else BACKENDS[backend].packages)
        try:
            figures = list(importlib.import_module(f"benchmarks.{name}").measure(small=options.small, **extra))
        except NoPython as exc:
            if options.names:
                sys.exit(str(exc))
            print(exc, file=sys.stderr)
            continue
        print_figures(question_of(name, backend), figures)
        if options.write:
            print(f"written: {write_results(question_of(name, backend), figures, ran_on)}")


def _wanted(names: Sequence[str], backends: Sequence[str] | None) -> Iterator[tuple[str, str | None]]:
    """The benchmarks to run, each with its backend or None."""
    if backends is None:
        yield from ((name, None) for name in (names or (*USUAL, PEERS)))
    if backends is not None or not names:
        for backend in backends or BACKENDS:
            yield from ((name, backend) for name in (names or ON_SERVERS))


if __name__ == "__main__":
    main()
