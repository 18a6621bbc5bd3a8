"""Short runs with fixed seeds: nothing is lost, nothing is done twice, and every account of it agrees."""

from pathlib import Path

import pytest

from tests.chaos.driver.driving import Plan
from tests.chaos.driver.running import run_chaos
from tests.chaos.driver.schedule import KINDS
from tests.chaos.driver.stores import STORES

DECK = sum(KINDS.values())


@pytest.mark.chaos
@pytest.mark.timeout(400)
@pytest.mark.parametrize("store", STORES)
async def test_whatever_is_done_to_processes_nothing_is_lost_or_done_twice(store: str, tmp_path: Path) -> None:
    findings = await run_chaos(Plan(seed=2, store=store, steps=DECK, pace=0.3), tmp_path / "run")
    assert not findings.violations, findings.report()
    assert (findings.lost, findings.doubled, findings.runs_twice, findings.executed_twice) == (0, 0, 0, 0)
    assert findings.faults == KINDS
    assert min(findings.acknowledged, findings.runs, findings.executions, findings.ticks) > 0
