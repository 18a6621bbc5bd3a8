"""How many plain tasks per second are enqueued and finished, without a trigger?

From the first call to the last SUCCESS. 50 callers enqueue while one worker process works, as the peers are measured
(`python -m benchmarks peers`). Beside it: bare group commit of the bytes that these tasks stored.
"""

from __future__ import annotations

from collections.abc import Awaitable, Iterator
from functools import partial

from benchmarks.end_to_end import case, in_one_process, in_processes
from benchmarks.harness.apps import BenchmarkApp
from benchmarks.harness.measuring import Run, benchmark
from benchmarks.harness.stores import MEMORY, SQLITE, Place


def enqueue(benchmark: BenchmarkApp) -> Awaitable[object]:
    return benchmark.plain()


_ONE = "one process", partial(in_one_process, call=enqueue)
_TWO = "producer and worker in processes of their own", partial(in_processes, call=enqueue)


@benchmark("tasks")
def measure(place: Place | None, small: bool) -> Iterator[Run]:
    yield partial(case, place or SQLITE, *_ONE, small, "tasks/s")
    yield partial(case, place or SQLITE, *_TWO, small, "tasks/s")
    if place is None:
        yield partial(case, MEMORY, *_ONE, small, "tasks/s")
