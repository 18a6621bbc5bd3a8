"""celery on Redis.

- `--pool solo`: one worker process that runs tasks in its main thread; the other pools of one process are slower for
  tasks that do nothing.
- `task_ignore_result`, `worker_prefetch_multiplier` 100 (default 4), no events, no gossip, no mingle, no heartbeat:
  "Optimizing" in the user guide.
- Its client blocks: 4 threads enqueue.
Documentation: https://docs.celeryq.dev/en/stable/userguide/optimizing.html, and `celery worker --help`.
"""

import os

from celery import Celery
from counting import count
from producing import from_threads

app = Celery("celery_peer", broker=os.environ["PEER_REDIS"])
app.conf.update(
    task_ignore_result=True,
    task_store_errors_even_if_ignored=False,
    worker_prefetch_multiplier=100,
    worker_send_task_events=False,
    broker_pool_limit=10,
    broker_connection_retry_on_startup=True,
)


@app.task
def noop() -> None:
    count()


def produce(tasks: int) -> None:
    from_threads(noop.delay, tasks, threads=min(4, tasks))
