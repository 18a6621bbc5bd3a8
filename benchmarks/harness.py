"""What all benchmarks share: figures of several runs, event loops as the command line makes them, green books."""

from __future__ import annotations

import asyncio
import gc
import importlib
import statistics
import tempfile
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from trigger_engine import TriggerEngine
from trigger_engine.audit import audit

T = TypeVar("T")
RUNS = 3
"""Every figure is the median of this many runs at least; what it is compared with ran between them."""


@dataclass(frozen=True, slots=True)
class Figure:
    """What was measured for one case of one question, run by run.

    `beside`: the same by a raw limit or a peer in the same runs, empty where there was none. `lines`: by name, points
    (x, y) of what was watched on the way, for a plot.
    """

    question: str
    case: str
    unit: str
    runs: tuple[float, ...]
    beside: tuple[float, ...] = ()
    beside_what: str = ""
    lines: Mapping[str, Sequence[tuple[float, float]]] = field(default_factory=dict)

    @property
    def value(self) -> float:
        return statistics.median(self.runs)

    @property
    def ratio(self) -> float | None:
        """Measured divided by beside, None without a beside."""
        return self.value / statistics.median(self.beside) if self.beside else None


def question_of(name: str, backend: str) -> str:
    """What the figures of a benchmark on a server's backend answer."""
    return f"{name}_{backend}"


def runs_of(*, small: bool) -> int:
    """How often a measurement is made."""
    return 1 if small else RUNS


def in_loop(work: Coroutine[Any, Any, T]) -> T:
    """Runs it as `trigger-engine run` would: on uvloop where that is installed."""
    gc.collect()
    try:
        factory = importlib.import_module("uvloop").new_event_loop
    except ImportError:
        factory = None
    with asyncio.Runner(loop_factory=factory) as runner:
        return runner.run(work)


@contextmanager
def fresh_folder() -> Iterator[Path]:
    """An empty folder, which goes when it is left."""
    with tempfile.TemporaryDirectory(prefix="trigger-engine-benchmark-") as folder:
        yield Path(folder)


async def check_books(app: TriggerEngine) -> None:
    """Raises RuntimeError with the first offences unless the app's audit is green."""
    report = await audit(app)
    if not report.balances:
        offences = "\n".join(map(str, report.offences[:5]))
        raise RuntimeError(f"the audit after the benchmark is not green: {report.offence_counts}\n{offences}")


async def by_callers(callers: int, times: int, call: Callable[[int], Awaitable[object]]) -> None:
    """Calls `call(number)` for each number below `times`, from some concurrent callers."""
    numbers = iter(range(times))

    async def work() -> None:
        for number in numbers:
            await call(number)

    async with asyncio.TaskGroup() as group:
        for _ in range(callers):
            group.create_task(work())
