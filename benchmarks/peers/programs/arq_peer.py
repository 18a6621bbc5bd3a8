"""arq on Redis.

- `max_jobs` 100 (default 10), as trigger-engine's own default; `poll_delay` 1 ms (default 500 ms).
- `keep_result` 0: no result is kept.
- hiredis is installed, arq's own dependency.
Documentation: https://arq-docs.helpmanuel.io, docstring of arq.worker.Worker.
"""

import asyncio
import os

from arq import create_pool, func
from arq.connections import RedisSettings
from counting import count
from producing import from_coroutines

REDIS = RedisSettings.from_dsn(os.environ["PEER_REDIS"])


async def noop(ctx: object) -> None:
    count()


class WorkerSettings:
    functions = (func(noop, keep_result=0),)
    redis_settings = REDIS
    max_jobs = 100
    poll_delay = 0.001
    keep_result = 0
    log_results = False


def produce(tasks: int) -> None:
    async def work() -> None:
        pool = await create_pool(REDIS)
        await from_coroutines(lambda: pool.enqueue_job("noop"), tasks)
        await pool.aclose()

    asyncio.run(work())
