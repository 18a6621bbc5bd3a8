"""One run of a scenario on an event loop of its own, with or without a cancellation, and what must hold after it."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from unittest.mock import patch

from tests.robustness.faults import scenarios
from tests.robustness.faults.aftermath import (
    Holdings,
    connections_counted,
    everything_is_done,
    nothing_is_held,
    nothing_leaks,
)
from tests.robustness.faults.awaits import Site
from tests.robustness.faults.shop import Kind, Place, ProcessShop, Shop
from tests.robustness.faults.watch import Strike, Watch
from trigger_engine._storage.group_commit import GroupCommit

CLEAN_UP = "trigger-engine clean-up"
_QUICK = {
    "_readmodel.store.row_store._BUSY_TIMEOUT": 0.05,
    "_client.result_follower._RETRY_DELAY": 0.01,
    "_runtime.worker.processes._CLOSE_TIMEOUT": 0.001,
    "_runtime.runner._FIRST_DELAY": 0.01,
    "_runtime.worker.worker._FINAL_SETTLE_TIMEOUT": 1.0,
    "_runtime.worker.settling._RETRY_SECONDS": 0.01,
}
"""Waits that need not be as long here."""
_LIMIT = 150.0


@contextmanager
def quick() -> Iterator[None]:
    """Within it the engine waits less, logs nothing, and its connections are counted."""
    with ExitStack() as stack:
        stack.enter_context(connections_counted())
        for name, value in _QUICK.items():
            stack.enter_context(patch(f"trigger_engine.{name}", value))
        defaults = GroupCommit.__init__.__kwdefaults__
        stack.enter_context(patch.dict(defaults, resend_delays=(0.001,) * 3))
        level = logging.root.manager.disable
        logging.disable(logging.CRITICAL)
        stack.callback(logging.disable, level)
        yield


def run(name: str, kind: Kind, folder: Path, strike: Strike | None = None) -> Counter[Site]:
    """Runs a scenario; how often it waited at each site. Raises AssertionError for what does not hold."""
    folder.mkdir(parents=True)
    return asyncio.run(asyncio.wait_for(_run(name, kind, folder, strike), _LIMIT))


async def _run(name: str, kind: Kind, folder: Path, strike: Strike | None) -> Counter[Site]:
    # The loop's own threads are there from the beginning: they are no leak.
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(1))
    await asyncio.to_thread(int)
    watch = Watch()
    watch.install()
    place = Place(kind, folder)
    make_shop = ProcessShop if name == "children" else Shop
    before = Holdings()
    shop = make_shop(place, watch, **scenarios.SETTINGS.get(name, {}))
    watch.strikes = [] if strike is None else [strike]
    await scenarios.SCENARIOS[name](shop)
    watch.strikes = []
    visits = watch.visits.copy()
    await nothing_leaks(before)
    struck = strike.task if strike is not None else None
    if name != "outage" and (struck is None or struck.get_name() != CLEAN_UP):
        # While the backend is away, or the clean-up itself is cancelled, what is held is left to expire.
        await nothing_is_held(place)
    await everything_is_done(shop)
    await nothing_leaks(before)
    return visits
