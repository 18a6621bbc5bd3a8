"""Chaos from the command line: `python -m tests.robustness.chaos.driver --seed 7 --minutes 5`."""

from __future__ import annotations

import argparse
import asyncio
import shutil
import sys
import tempfile
from pathlib import Path
from random import SystemRandom

from tests.robustness.chaos.driver.driving import Plan
from tests.robustness.chaos.driver.running import run_chaos
from tests.robustness.chaos.driver.stores import STORES


def main() -> int:
    """Makes one run; 0 when nothing is violated."""
    parser = argparse.ArgumentParser(prog="nox -s chaos --", description=__doc__)
    parser.add_argument("--seed", type=int, default=SystemRandom().randrange(10**6), help="repeats a run's schedule")
    parser.add_argument("--minutes", type=float, default=2.0, help="how long processes are harmed (2)")
    parser.add_argument("--backend", choices=sorted(STORES), default="sqlite")
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix=f"chaos-{options.seed}-"))
    print(f"chaos: seed {options.seed}, {options.minutes:g} minutes on {options.backend}, in {folder}", flush=True)
    plan = Plan(seed=options.seed, store=options.backend, seconds=60.0 * options.minutes)
    findings = asyncio.run(run_chaos(plan, folder))
    print(findings.report())
    if findings.violations:
        print(f"the store and the log (log.jsonl) are in {folder}, what the processes said in {folder / 'logs'}")
        return 1
    shutil.rmtree(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
