"""The whole of what test_every_await.py does a part of: minutes, so it is run by `nox -s faults` only."""

from pathlib import Path

import pytest

from tests.faults.shop import KINDS, Kind
from tests.faults.survey import plan, strike_all

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]
SEED = 2


@pytest.mark.parametrize("kind", KINDS)
def test_cancelling_at_every_await_in_every_way_loses_nothing(
    kind: Kind, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    everything = plan(kind, rarely=True)
    print(f"{kind}: {len(everything)} cancellations at {len(everything) // 2} sites")
    assert strike_all(kind, everything, tmp_path, seed=SEED) == []
