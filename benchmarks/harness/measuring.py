"""How a benchmark is measured: repeated runs, medians, ratios."""

from __future__ import annotations

import asyncio
import gc
import importlib
import statistics
import tempfile
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, Protocol, TypeVar

from trigger_engine import TriggerEngine
from trigger_engine._audit.auditing import audit

T = TypeVar("T")
RUNS = 3
"""A published figure is the median of at least this many runs."""


class Value(NamedTuple):
    """One value that one run measured. `beside`: the same by a raw limit or a peer in the same run."""

    case: str
    unit: str
    value: float
    beside: float | None = None
    beside_what: str = ""


Run = Callable[[], Iterable[Value]]
"""Measures one or more values once."""


@dataclass(frozen=True, slots=True)
class Figure:
    """The runs of one case of a benchmark.

    `question`: the benchmark's name, with its backend. `beside`: a raw limit or a peer, measured in the same runs.
    `lines`: named series of (x, y) for a plot.
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
    def beside_value(self) -> float | None:
        return statistics.median(self.beside) if self.beside else None

    @property
    def ratio(self) -> float | None:
        """The median divided by the median of `beside`, None without one."""
        return self.value / self.beside_value if self.beside_value else None


class Measure(Protocol):
    """Runs a benchmark and yields its figures. `backend`: on a private server of it."""

    def __call__(self, *, small: bool, backend: str | None = None, runs: int | None = None) -> Iterator[Figure]: ...


def question_of(name: str, backend: str | None) -> str:
    """The name under which the results of a benchmark are kept."""
    return name if backend is None else f"{name}_{backend}"


def runs_of(*, small: bool) -> int:
    """How often a measurement is repeated."""
    return 1 if small else RUNS


def figures(question: str, case: Run, runs: int) -> Iterator[Figure]:
    """Repeats a run and groups its values by case."""
    found: dict[str, list[Value]] = {}
    for _ in range(runs):
        for value in case():
            found.setdefault(value.case, []).append(value)
    for name, values in found.items():
        beside = tuple(value.beside for value in values if value.beside is not None)
        what = values[0].beside_what if beside else ""
        yield Figure(question, name, values[0].unit, tuple(value.value for value in values), beside, what)


def benchmark(name: str) -> Callable[[Callable[[Any, bool], Iterator[Run]]], Measure]:
    """Makes `measure` of a function `cases(place, small)` that yields the runs to repeat.

    `place` is a server's `Place`, or None for a benchmark that runs on this machine alone.
    """

    def decorate(cases: Callable[[Any, bool], Iterator[Run]]) -> Measure:
        def measure(*, small: bool, backend: str | None = None, runs: int | None = None) -> Iterator[Figure]:
            from benchmarks.harness.servers import place_of

            with place_of(backend) as place:
                for case in cases(place, small):
                    yield from figures(question_of(name, backend), case, runs or runs_of(small=small))

        return measure

    return decorate


def in_loop(work: Coroutine[Any, Any, T]) -> T:
    """Runs a coroutine on the event loop that `trigger-engine run` uses: uvloop where it is installed."""
    gc.collect()
    try:
        factory = importlib.import_module("uvloop").new_event_loop
    except ImportError:
        factory = None
    with asyncio.Runner(loop_factory=factory) as runner:
        return runner.run(work)


@contextmanager
def fresh_folder() -> Iterator[Path]:
    """An empty folder, removed afterwards."""
    with tempfile.TemporaryDirectory(prefix="trigger-engine-benchmark-") as folder:
        yield Path(folder)


async def check_log(app: TriggerEngine) -> None:
    """Raises RuntimeError with the first violations if the app's audit finds any."""
    report = await audit(app)
    if report.violation_counts:
        violations = "\n".join(map(str, report.violations[:5]))
        raise RuntimeError(f"the audit after the benchmark failed: {report.violation_counts}\n{violations}")


async def by_callers(callers: int, times: int, call: Callable[[int], Awaitable[object]]) -> None:
    """Calls `call(number)` for each number below `times`, from concurrent callers."""
    numbers = iter(range(times))

    async def work() -> None:
        for number in numbers:
            await call(number)

    async with asyncio.TaskGroup() as group:
        for _ in range(callers):
            group.create_task(work())
