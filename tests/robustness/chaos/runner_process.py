"""A runner that kills itself in the middle of an append's transaction when it finds the file MARK."""

import asyncio
import os
import signal
import sys
from typing import Any

from tests.robustness.chaos.chaos_tasks import app
from trigger_engine._storage.sqlite import appending

_store_entries = appending._store_entries


def _store_and_die_on_mark(*args: Any) -> None:
    """After the entries are inserted, before anything is committed; one process dies of a mark."""
    _store_entries(*args)
    try:
        os.unlink(sys.argv[1])
    except FileNotFoundError:
        return
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    appending._store_entries = _store_and_die_on_mark  # type: ignore[assignment]
    asyncio.run(app.run())
