"""Pynenc on SQLite: plain tasks, and events that trigger a task.

- ThreadRunner with up to 8 threads; `runner_loop_sleep_time_sec` and `invocation_wait_results_sleep_time_sec` 1 ms
  (default 100 ms): "runner_tuning" of PynencBuilder.
- `atomic_service_interval_minutes` of a second (default 5 minutes), checked for every 10 ms: how often triggers are
  evaluated. With shorter ones a runner of a busy machine misses its turns.
- `max_events_batch_size` 1,000 (default 100), `logging_level` "error", arguments are not printed.
- Its client blocks, and transactions on one file follow each other: 2 threads enqueue.
Documentation: https://docs.pynenc.org (configuration, trigger system), docstrings of pynenc.conf and pynenc.builder.
"""

import os
from pathlib import Path

from counting import count
from producing import from_threads
from pynenc import PynencBuilder
from pynenc.trigger.trigger_builder import TriggerBuilder

_MINUTE = 60
app = (
    PynencBuilder()
    .app_id("peer")
    .sqlite(str(Path(os.environ["PEER_FOLDER"]) / "pynenc.db"))
    .thread_runner(min_threads=8, max_threads=8)
    .runner_tuning(runner_loop_sleep_time_sec=0.001, invocation_wait_results_sleep_time_sec=0.001, min_parallel_slots=8)
    .hide_arguments()
    .logging_level("error")
    .custom_config(
        atomic_service_interval_minutes=1 / _MINUTE,
        atomic_service_spread_margin_minutes=0.0,
        atomic_service_check_interval_minutes=0.01 / _MINUTE,
        max_events_batch_size=1_000,
    )
    .build()
)


@app.task
def noop() -> None:
    count()


@app.task(triggers=TriggerBuilder().on_event("happened"))
def react() -> None:
    count()


def produce(tasks: int, what: str = "") -> None:
    from_threads(emit if what == "events" else noop, tasks, threads=min(2, tasks))


def emit() -> None:
    app.trigger.emit_event("happened", {})
