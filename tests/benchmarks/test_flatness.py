"""What counts as flat."""

import math

import pytest

from benchmarks.soak.flatness import FEWEST, flatness
from benchmarks.soak.result import is_good, judged, result_of
from benchmarks.soak.running import Measured

TIMES = [float(number) for number in range(200)]
MACHINE = {"commit": "0", "python": "3", "sqlite": "3", "cpus": 2, "processor": "one"}
LOAD = {"runners": 2, "emitters": 2, "events_a_second": 60, "retention_minutes": 5}


def is_flat(values: list[float], grain: float = 0.0) -> bool:
    return flatness(TIMES, values, grain=grain).flat


def test_a_level_is_flat() -> None:
    assert is_flat([50.0 + math.sin(time) for time in TIMES])


def test_what_rises_is_not() -> None:
    assert not is_flat([50.0 + time * 0.02 for time in TIMES])


def test_the_rise_is_that_of_the_second_half() -> None:
    found = flatness(TIMES, [50.0 + time * 0.02 for time in TIMES], grain=0.0)
    assert found.rise == pytest.approx(0.02 * 99)
    assert found.level == pytest.approx(50.0 + 149.5 * 0.02)


def test_warming_up_is_flat() -> None:
    assert is_flat([min(time, 80.0) for time in TIMES])


def test_what_falls_is_flat() -> None:
    assert is_flat([500.0 - time for time in TIMES])


def test_a_saw_tooth_is_flat() -> None:
    assert is_flat([100.0 + time % 12 for time in TIMES])


def test_a_saw_tooth_that_rises_is_not() -> None:
    assert not is_flat([100.0 + time % 12 + time * 0.05 for time in TIMES])


def test_outliers_neither_hide_nor_feign_a_rise() -> None:
    spikes = {110.0: 900.0, 190.0: 900.0, 195.0: 900.0}
    assert is_flat([spikes.get(time, 50.0) for time in TIMES])
    assert not is_flat([spikes.get(time, 50.0 + time * 0.02) for time in TIMES])


def test_what_is_nothing_for_its_kind_is_flat() -> None:
    assert is_flat([float(time > 150) for time in TIMES], grain=2.0)
    assert not is_flat([time // 50 for time in TIMES], grain=0.5)


def test_too_few_samples_say_nothing() -> None:
    few = TIMES[: FEWEST - 1]
    assert not flatness(few, [1.0] * len(few), grain=1.0).flat


def measured(**series: list[float]) -> Measured:
    return Measured(
        seconds=600,
        entries=1000,
        audits=3,
        series={name: list(zip(TIMES, ys, strict=True)) for name, ys in series.items()},
    )


def test_one_series_that_leaks_makes_the_soak_fail() -> None:
    leak = [40.0 + time * 0.1 for time in TIMES]
    flat = measured(runner=[40.0] * len(TIMES))
    leaking = measured(runner=[40.0] * len(TIMES), reader=leak)
    assert is_good(result_of(flat, MACHINE, LOAD))
    assert not is_good(result_of(leaking, MACHINE, LOAD))
    assert {name for name, verdict in judged(leaking).items() if not verdict.flat} == {"reader"}


@pytest.mark.parametrize("wrong", [{"left_open": 1}, {"unseen": 1}, {"offences": {"made up": 1}}])
def test_what_the_audits_find_makes_the_soak_fail(wrong: dict[str, object]) -> None:
    one = measured(runner=[40.0] * len(TIMES))
    for name, value in wrong.items():
        setattr(one, name, value)
    assert not is_good(result_of(one, MACHINE, LOAD))
