"""Wherever the engine waits, it may be cancelled: nothing leaks, nothing acknowledged is lost, and the books balance.

Here a part of all waits, drawn by a seed; `nox -s faults` cancels at every one of them.
"""

from pathlib import Path
from random import Random

import pytest

from tests.architecture.source_tree import PACKAGE
from tests.robustness.faults.awaits import (
    EXCLUDED,
    LISTED,
    modules_with_coroutines,
    sites,
    sites_in_bytecode,
    source_line,
)
from tests.robustness.faults.shop import KINDS, Kind
from tests.robustness.faults.survey import plan, strike_all, visited
from tests.robustness.faults.unvisited import UNVISITED

SEED = 1
SAMPLE = {"memory": 15, "sqlite": 6}
"""Cancellations in each of the parts."""
PARTS = 4


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def test_every_module_with_coroutines_is_listed_or_excluded() -> None:
    found = modules_with_coroutines()
    forgotten = [one for one in found if one not in LISTED and not one.startswith(tuple(EXCLUDED))]
    assert forgotten == [], "list it in tests/robustness/faults/awaits.py, or say there why not"
    assert [one for one in LISTED if one not in found] == [], "it has no coroutine any more"


def test_every_site_appears_in_the_bytecode() -> None:
    compiled = {site for module in LISTED for site in sites_in_bytecode(PACKAGE / module)}
    assert compiled == set(sites())


@pytest.mark.timeout(300)
def test_some_scenario_visits_every_site() -> None:
    wanted = {site for site in sites() if not any(one.holds(site) for one in UNVISITED)}
    missed = sorted(wanted - visited(wanted))
    listed = "\n".join(f"{site}: {source_line(site)}" for site in missed)
    assert not missed, f"no scenario of tests/robustness/faults/scenarios.py waits there:\n{listed}"


@pytest.mark.timeout(300)
def test_unvisited_sites_are_never_visited() -> None:
    seen = visited(set())
    never = [site for site in sites() if site not in seen]
    assert [one for one in UNVISITED if not any(one.holds(site) for site in never)] == []


@pytest.mark.timeout(300)
@pytest.mark.parametrize("part", range(PARTS))
@pytest.mark.parametrize("kind", KINDS)
def test_a_cancellation_loses_nothing_and_leaves_nothing(kind: Kind, part: int, tmp_path: Path) -> None:
    drawn = Random(SEED).sample(plan(kind), SAMPLE[kind] * PARTS)[part::PARTS]
    assert strike_all(kind, drawn, tmp_path, seed=SEED) == []
