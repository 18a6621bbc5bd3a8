"""saq on Redis.

- `concurrency` 100 (default 10), as trigger-engine's own default: saq.Worker, "How many jobs to process at once".
- `ttl` -1 per job: no result is kept (saq.Job, "ttl"), for nobody asks for one.
- hiredis is installed, saq's own extra `saq[hiredis]`.
Documentation: https://saq-py.readthedocs.io, docstrings of saq.Worker and saq.Job.
"""

import asyncio
import os

from counting import count
from producing import from_coroutines
from saq import Queue

queue = Queue.from_url(os.environ["PEER_REDIS"])


async def noop(ctx: object) -> None:
    count()


settings = {"queue": queue, "functions": [noop], "concurrency": 100}


def produce(tasks: int) -> None:
    async def work() -> None:
        await queue.connect()
        await from_coroutines(lambda: queue.enqueue("noop", ttl=-1), tasks)
        await queue.disconnect()

    asyncio.run(work())
