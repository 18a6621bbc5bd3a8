"""Since when the engine has been running without a break."""

import pytest

from trigger_engine.core.continuity import continuous_since

NOW = 1000.0


@pytest.mark.parametrize(
    ("alive", "since"),
    [
        ([], NOW),
        ([(990.0, NOW)], 990.0),
        ([(500.0, 995.0), (994.0, NOW)], 500.0),
        ([(500.0, 991.0), (995.0, NOW)], 500.0),
        ([(500.0, 980.0), (995.0, NOW)], 995.0),
        ([(100.0, 489.0), (500.0, 980.0), (989.0, NOW)], 500.0),
        ([(100.0, 985.0)], NOW),
        ([(100.0, 992.0)], 100.0),
        ([(400.0, 990.0), (100.0, 500.0), (985.0, NOW)], 100.0),
    ],
    ids=[
        "nothing ran",
        "one runner runs",
        "overlapping runners",
        "a break within the gap",
        "a break beyond the gap",
        "only the newest unbroken stretch counts",
        "the last runner stopped too long ago",
        "the last runner stopped just now",
        "a longer life that ended earlier",
    ],
)
def test_breaks_up_to_the_gap_do_not_count(alive: list[tuple[float, float]], since: float) -> None:
    assert continuous_since(NOW, alive, gap=10.0) == since
