"""Short runs with fixed seeds: nothing is lost, nothing is done twice, and every account of it agrees."""

from pathlib import Path

import pytest

from tests.robustness.chaos.driver.driving import Plan
from tests.robustness.chaos.driver.running import run_chaos
from tests.robustness.chaos.driver.schedule import KINDS
from tests.robustness.chaos.driver.stores import STORES
from tests.support.backends import SERVER_BACKENDS

LONGER = frozenset({"mongodb", "rabbitmq"})
"""Those for which it takes minutes: `nox -s faults` makes the same run."""
CASES = [
    pytest.param(name, marks=[pytest.mark.servers] * (name in SERVER_BACKENDS)) for name in STORES if name not in LONGER
]


@pytest.mark.chaos
@pytest.mark.timeout(400)
@pytest.mark.parametrize("store", CASES)
async def test_chaos_loses_nothing_and_does_nothing_twice(store: str, tmp_path: Path) -> None:
    await disturb(store, tmp_path / "run", each_once=store in SERVER_BACKENDS)


async def disturb(store: str, folder: Path, *, each_once: bool = False) -> None:
    """A run that has each kind of harm once, or as often as the schedule has it."""
    kinds = (dict.fromkeys(KINDS, 1) if each_once else KINDS) | dict.fromkeys(STORES[store].faults, 1)
    plan = Plan(seed=2, store=store, steps=sum(kinds.values()), pace=0.3, each_once=each_once)
    findings = await run_chaos(plan, folder)
    assert not findings.violations, findings.report()
    assert (findings.lost, findings.doubled, findings.runs_twice, findings.executed_twice) == (0, 0, 0, 0)
    assert findings.faults == kinds
    assert min(findings.acknowledged, findings.runs, findings.executions, findings.ticks) > 0
