"""taskiq on Redis, with the list broker of taskiq-redis, its simplest and fastest.

- `--workers 1 --max-async-tasks 100 --max-prefetch 100 --no-parse --ack-type when_received`: "Worker" in the CLI guide.
- `socket_timeout` None: its worker waits for tasks longer than the Redis client waits for answers by default.
- No result backend: the default keeps none.
Documentation: https://taskiq-python.github.io/guide/cli.html, `taskiq worker --help`.
"""

import asyncio
import os

from counting import count
from producing import from_coroutines
from taskiq_redis import ListQueueBroker

broker = ListQueueBroker(os.environ["PEER_REDIS"], socket_timeout=None)


@broker.task
async def noop() -> None:
    count()


def produce(tasks: int) -> None:
    async def work() -> None:
        await broker.startup()
        await from_coroutines(noop.kiq, tasks)
        await broker.shutdown()

    asyncio.run(work())
