"""Runs benchmarks by name, or all of them: `python -m benchmarks [emit] [latency] … [--small] [--write]`.

`growth` and `peers` run only when they are named. `report` measures nothing: it makes the figures of
docs/performance.md from the newest results.
"""

from __future__ import annotations

import argparse
import importlib
import signal
import sys
from collections.abc import Mapping
from typing import Any

from benchmarks.machine import machine
from benchmarks.results import NoResults, newest_results, write_results
from benchmarks.tables import print_figures, write_docs

USUAL = ("emit", "end_to_end", "tasks", "matcher", "latency", "start_up", "idle", "monitor")
NAMED = ("growth", "peers")
REPORT = "report"


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    allowed = (*USUAL, *NAMED, REPORT)
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help=f"one of {', '.join(allowed)}; usually all but the last 3"
    )
    parser.add_argument("--small", action="store_true", help="a short run that only shows that it works")
    parser.add_argument("--write", action="store_true", help="write benchmarks/results/<date>.json and docs")
    parser.add_argument("--peer", action="append", help="of peers, only this one; may be given several times")
    parser.add_argument("--peer-python", help="the Python of the peers (default: python3.12)")
    options = parser.parse_args()
    for name in options.names:
        if name not in allowed:
            parser.error(f"no benchmark {name!r}: choose from {', '.join(allowed)}")
    if options.small and options.write:
        parser.error("--small is too short to keep what it measures: leave out --write")
    # So that ending the benchmarks ends their processes.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    for name in options.names or USUAL:
        if name != REPORT:
            _measure(name, _given(name, options), small=options.small, write=options.write)
    if options.write or REPORT in options.names:
        try:
            write_docs(newest_results())
        except NoResults as exc:
            sys.exit(str(exc))


def _given(name: str, options: argparse.Namespace) -> dict[str, Any]:
    """What the command line says of one benchmark alone."""
    given = {"names": options.peer, "python": options.peer_python} if name == "peers" else {}
    return {key: value for key, value in given.items() if value is not None}


def _measure(name: str, given: Mapping[str, Any], *, small: bool, write: bool) -> None:
    ran_on = machine()
    figures = list(importlib.import_module(f"benchmarks.{name}").measure(small=small, **given))
    print_figures(name, figures)
    if write:
        print(f"written: {write_results(name, figures, ran_on)}")


if __name__ == "__main__":
    main()
