"""The whole of what test_every_await.py does a part of: minutes, so it is run by `nox -s faults` only."""

from functools import cache
from pathlib import Path

import pytest

from tests.robustness.faults.awaits import Site
from tests.robustness.faults.shop import KINDS, Kind
from tests.robustness.faults.survey import look_again, plan, strike_all
from tests.robustness.faults.watch import WAYS, Way

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]
SEED = 2
PARTS = 8


@pytest.mark.parametrize("part", range(PARTS))
@pytest.mark.parametrize("kind", KINDS)
def test_cancelling_at_every_await_in_every_way_loses_nothing(
    kind: Kind, part: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    all_of_them = whole_plan(kind)
    print(f"{kind}: {len(all_of_them)} cancellations at {len(all_of_them) // len(WAYS)} sites, part {part + 1}/{PARTS}")
    assert strike_all(kind, all_of_them[part::PARTS], tmp_path, seed=SEED + part) == []


@cache
def whole_plan(kind: Kind) -> list[tuple[Site, Way]]:
    """The same for all parts."""
    look_again(kind)
    return plan(kind, rarely=True)
