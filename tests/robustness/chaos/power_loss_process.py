"""`runner`, or `emitter COUNT FILE`, of the app under chaos; moves the write-ahead log into the file all the time."""

import asyncio
import os
import sys

from trigger_engine._storage.sqlite import database

_PAGES = 60


async def main(role: str, *arguments: str) -> None:
    if role == "runner":
        await app.run()
    else:
        await emit_all(int(arguments[0]), os.open(arguments[1], os.O_WRONLY | os.O_CREAT | os.O_APPEND))


if __name__ == "__main__":
    database.CHECKPOINT_PAGES = _PAGES
    from tests.robustness.chaos.chaos_tasks import app
    from tests.robustness.chaos.emitter_process import emit_all

    asyncio.run(main(*sys.argv[1:]))
