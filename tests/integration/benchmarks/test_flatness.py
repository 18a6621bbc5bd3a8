"""Which series are flat."""

import math
from statistics import NormalDist

import pytest

from benchmarks.soak.flatness import FEWEST, flatness
from benchmarks.soak.result import Measured, evaluated, is_good, result_of

TIMES = [float(number) for number in range(200)]
MACHINE = {"commit": "0", "python": "3", "sqlite": "3", "cpus": 2, "processor": "one"}
LOAD = {"runners": 2, "emitters": 2, "events_a_second": 60, "retention_minutes": 5}


def is_flat(values: list[float], grain: float = 0.0) -> bool:
    return flatness(TIMES, values, grain=grain).flat


def test_constant_level_is_flat() -> None:
    assert is_flat([50.0 + math.sin(time) for time in TIMES])


def test_rising_series_is_not_flat() -> None:
    assert not is_flat([50.0 + time * 0.02 for time in TIMES])


def test_rise_is_measured_over_the_second_half() -> None:
    found = flatness(TIMES, [50.0 + time * 0.02 for time in TIMES], grain=0.0)
    assert found.rise == pytest.approx(0.02 * 99)
    assert found.level == pytest.approx(50.0 + 149.5 * 0.02)


def test_warm_up_is_flat() -> None:
    assert is_flat([min(time, 80.0) for time in TIMES])


def test_falling_series_is_flat() -> None:
    assert is_flat([500.0 - time for time in TIMES])


def test_saw_tooth_is_flat() -> None:
    assert is_flat([100.0 + time % 12 for time in TIMES])


def test_rising_saw_tooth_is_not_flat() -> None:
    assert not is_flat([100.0 + time % 12 + time * 0.05 for time in TIMES])


def test_outliers_neither_hide_nor_fake_a_rise() -> None:
    spikes = {110.0: 900.0, 190.0: 900.0, 195.0: 900.0}
    assert is_flat([spikes.get(time, 50.0) for time in TIMES])
    assert not is_flat([spikes.get(time, 50.0 + time * 0.02) for time in TIMES])


def swinging(*, rise: float) -> list[float]:
    """Values spread evenly from 50 to 90, and a rise over the second half."""
    return [50.0 + 40.0 * (time * 0.618034 % 1.0) + max(0.0, time - 100.0) / 100.0 * rise for time in TIMES]


def test_wide_variation_without_a_trend_is_flat() -> None:
    found = flatness(TIMES, swinging(rise=0.0), grain=0.0)
    assert found.flat
    assert found.chance > 0.05


def test_wide_variation_with_a_trend_is_not_flat() -> None:
    found = flatness(TIMES, swinging(rise=20.0), grain=0.0)
    assert not found.flat
    assert found.rise == pytest.approx(20.0, abs=2.0)
    assert found.chance < 0.01


def test_chance_is_that_of_the_mann_kendall_test() -> None:
    """Ten values with 43 of 45 pairs in rising order: z = 42 / sqrt(125)."""
    values = [1.0, 2.0, 3.0, 5.0, 4.0, 6.0, 7.0, 8.0, 9.0, 10.0]
    found = flatness([float(n) for n in range(20)], [0.0] * 10 + values, grain=0.0)
    assert found.samples == 10
    assert found.chance == pytest.approx(1 - NormalDist().cdf(42 / 125**0.5))


def test_rise_below_the_grain_is_flat() -> None:
    assert is_flat([float(time > 150) for time in TIMES], grain=2.0)
    assert not is_flat([time // 50 for time in TIMES], grain=0.5)


def test_too_few_samples_are_not_flat() -> None:
    few = TIMES[: FEWEST - 1]
    assert not flatness(few, [1.0] * len(few), grain=1.0).flat


def measured(**series: list[float]) -> Measured:
    return Measured(
        seconds=600,
        entries=1000,
        audits=3,
        series={name: list(zip(TIMES, ys, strict=True)) for name, ys in series.items()},
    )


def test_one_leaking_series_fails_the_soak() -> None:
    leak = [40.0 + time * 0.1 for time in TIMES]
    flat = measured(runner=[40.0] * len(TIMES))
    leaking = measured(runner=[40.0] * len(TIMES), reader=leak)
    assert is_good(result_of(flat, MACHINE, LOAD))
    assert not is_good(result_of(leaking, MACHINE, LOAD))
    assert {name for name, verdict in evaluated(leaking.series, retention_minutes=1).items() if not verdict.flat} == {
        "reader"
    }


def test_retained_work_may_grow_with_the_rate_but_not_faster() -> None:
    rates = [100.0 + time for time in TIMES]
    work = {"work: entries a second": rates}
    following = measured(**work, **{"log: entries": [60 * rate for rate in rates]})
    outgrowing = measured(
        **work, **{"log: entries": [60 * rate * (1 + time / 500) for rate, time in zip(rates, TIMES, strict=True)]}
    )
    assert evaluated(following.series, retention_minutes=1)["log: entries"].flat
    assert not evaluated(outgrowing.series, retention_minutes=1)["log: entries"].flat
    assert not evaluated({"log: entries": following.series["log: entries"]}, retention_minutes=1)["log: entries"].flat


@pytest.mark.parametrize("wrong", [{"left_open": 1}, {"audits_too_late": 1}, {"violations": {"made up": 1}}])
def test_findings_of_audits_fail_the_soak(wrong: dict[str, object]) -> None:
    one = measured(runner=[40.0] * len(TIMES))
    for name, value in wrong.items():
        setattr(one, name, value)
    assert not is_good(result_of(one, MACHINE, LOAD))
