"""huey on SQLite, as durably as trigger-engine: `fsync=True` (SQLite's synchronous = FULL) and the write-ahead log.

- `-w 1 -k thread`: one worker thread; more of them only wait for each other's transactions.
- `-d 0.001 -m 0.01 -C`: it polls every millisecond while there is work (default 100 ms), with no health check.
- `results=False`: no result is kept.
- Its client blocks, and transactions on one file follow each other: 2 threads enqueue.
Documentation: https://huey.readthedocs.io/en/latest/consumer.html and api.html (SqliteHuey), `huey_consumer --help`.
"""

import os
from pathlib import Path

from counting import count
from huey import SqliteHuey
from producing import from_threads

huey = SqliteHuey(
    filename=str(Path(os.environ["PEER_FOLDER"]) / "huey.db"), fsync=True, journal_mode="wal", results=False, timeout=60
)


@huey.task()
def noop() -> None:
    count()


def produce(tasks: int) -> None:
    from_threads(noop, tasks, threads=min(2, tasks))
