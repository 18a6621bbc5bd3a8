"""Probes measure the processor time of single functions."""

import itertools
import time

import pytest

from benchmarks.harness.probes import Probes


class Work:
    """Advances its own clock."""

    def __init__(self) -> None:
        self.now = 0.0

    def outer(self) -> str:
        self.now += 1
        self.inner()
        self.now += 2
        return "done"

    def inner(self) -> None:
        self.now += 10

    async def coroutine(self) -> str:
        self.now += 4
        self.inner()
        return "done"


@pytest.fixture
def work(monkeypatch: pytest.MonkeyPatch) -> Work:
    work = Work()
    monkeypatch.setattr(time, "thread_time", lambda: work.now)
    return work


def test_time_in_a_probed_callee_counts_only_for_the_callee(work: Work) -> None:
    probes = Probes()
    with probes.placed(Work, "outer", "outer"), probes.placed(Work, "inner", "inner"):
        assert work.outer() == "done"
        work.inner()
    work.outer()
    assert probes.seconds() == {"outer": 3.0, "inner": 20.0}
    assert probes.counts == {"outer": 1, "inner": 2}


async def test_coroutine_that_does_not_wait_is_timed_to_its_end(work: Work) -> None:
    probes = Probes()
    with probes.placed(Work, "coroutine", "coroutine"), probes.placed(Work, "inner", "inner"):
        assert await work.coroutine() == "done"
    assert probes.seconds() == {"coroutine": 4.0, "inner": 10.0}


def test_function_that_raises_is_timed(work: Work, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(work: Work) -> None:
        work.now += 5
        raise LookupError

    monkeypatch.setattr(Work, "inner", fail)
    probes = Probes()
    with probes.placed(Work, "inner", "inner"), pytest.raises(LookupError):
        work.inner()
    assert probes.seconds() == {"inner": 5.0}


def test_cost_of_probes_is_subtracted(monkeypatch: pytest.MonkeyPatch, work: Work) -> None:
    ticks = itertools.count()
    monkeypatch.setattr(time, "thread_time", lambda: float(next(ticks)))
    probes = Probes()
    with probes.placed(Work, "inner", "inner"):
        work.inner()
    assert probes.seconds() == {"inner": 0.0}
    assert probes.cost() == {"inner": pytest.approx(4.0, abs=0.001)}
