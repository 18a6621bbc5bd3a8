"""dramatiq on Redis, with the default middleware.

- `--processes 1 --threads 8`: one worker process, with as many threads as by default.
- Its client blocks: 8 threads enqueue.
Documentation: https://dramatiq.io/guide.html, `dramatiq --help`.
"""

import os

import dramatiq
from counting import count
from dramatiq.brokers.redis import RedisBroker
from producing import from_threads

broker = RedisBroker(url=os.environ["PEER_REDIS"])
dramatiq.set_broker(broker)


@dramatiq.actor
def noop() -> None:
    count()


def produce(tasks: int) -> None:
    from_threads(noop.send, tasks, threads=min(8, tasks))
