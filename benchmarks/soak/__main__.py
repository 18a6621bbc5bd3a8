"""`python -m benchmarks.soak`: exits with 1 unless every series is flat and all audits pass."""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.harness.measuring import fresh_folder
from benchmarks.harness.results import machine
from benchmarks.harness.servers import BACKENDS, private_server
from benchmarks.soak.result import is_good, page, result_of, write
from benchmarks.soak.running import EMITTERS, RUNNERS, soak


@contextmanager
def store_of(backend: str | None) -> Iterator[Mapping[str, Any]]:
    """Keyword arguments, without `app_id`, of an app on a new server or file."""
    if backend is not None:
        with private_server(backend) as settings:
            yield settings
    else:
        with fresh_folder() as folder:
            yield {"sqlite": {"sqlite_db_path": str(folder / "soak.db")}}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=60.0, help="duration (default: an hour)")
    parser.add_argument("--rate", type=float, default=60.0, help="events a second (default: 60)")
    parser.add_argument("--retention", type=float, default=5.0, help="minutes that entries are kept (default: 5)")
    parser.add_argument("--keep", type=Path, help="folder for soak.json, soak.svg and soak.md, such as docs")
    parser.add_argument("--backend", choices=sorted(BACKENDS), help="on a private server (default: a SQLite file)")
    options = parser.parse_args()
    load = {
        "store": "one SQLite file" if options.backend is None else f"a server of {BACKENDS[options.backend].label}",
        "runners": RUNNERS,
        "emitters": EMITTERS,
        "events_a_second": options.rate,
        "retention_minutes": options.retention,
    }
    ran_on = machine()
    # So that SIGTERM also ends the processes of the soak.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    with fresh_folder() as folder, store_of(options.backend) as settings:
        measured = soak(
            folder,
            {"app_id": "soak", **settings},
            minutes=options.minutes,
            rate=options.rate,
            retention_minutes=options.retention,
        )
    result = result_of(measured, ran_on, load)
    if options.keep is not None:
        options.keep.mkdir(parents=True, exist_ok=True)
        write(result, options.keep)
    print(page(result))
    for violation in result["first_violations"]:
        print(violation)
    sys.exit(0 if is_good(result) else 1)


if __name__ == "__main__":
    main()
