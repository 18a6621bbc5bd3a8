"""A schedule of every second over runner processes that are killed: each tick once."""

import os
import signal
import time
from collections import Counter
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.support import programs
from tests.support.apps import MakeApp
from tests.support.backends import SHARED, TestedBackend
from tests.support.reading import entries_of_type
from tests.support.waiting import wait_until
from trigger_engine import TriggerEngine
from trigger_engine._model.entries import CronTicked, LeaderElected, TriggerFired

pytestmark = pytest.mark.every_backend

RUNNER = """
import asyncio
from trigger_engine import TriggerBuilder, TriggerEngine

app = TriggerEngine(heartbeat_interval=0.2, heartbeat_ttl=0.8, lease_ttl=0.8)

@app.task(triggers=TriggerBuilder().on_cron("* * * * * *", catch_up="all"))
async def every_second() -> None:
    pass

async def main() -> None:
    async with app:
        await app.run()

if __name__ == "__main__":
    asyncio.run(main())
"""
RUN = ("-c", "import runner, asyncio; asyncio.run(runner.main())")


@pytest.mark.parametrize("backend", SHARED, indirect=True)
async def test_every_second_has_one_tick_while_leaders_are_killed(
    tmp_path: Path, backend: TestedBackend, make_app: MakeApp
) -> None:
    (tmp_path / "runner.py").write_text(RUNNER)
    app = make_app(app_id="shared")
    variables = programs.settings_as_environment(backend.settings)
    async with app:
        with ExitStack() as stack:
            processes = {}
            for _ in range(2):
                process = stack.enter_context(programs.started(tmp_path, *RUN, **variables))
                processes[process.pid] = process
            for ticks in (2, 5):
                await wait_until(lambda: _ticked(app, ticks))  # noqa: B023
                pid = await _leader_pid(app)
                os.kill(pid, signal.SIGKILL)
                processes[pid].wait()
                process = stack.enter_context(programs.started(tmp_path, *RUN, **variables))
                processes[process.pid] = process
            await wait_until(lambda: _ticked(app, 8))
            ended = time.time()
        ticks_seen = [entry.scheduled_for for entry in await entries_of_type(app, CronTicked)]
        fired = Counter(run.participants[0].entry_id for run in await entries_of_type(app, TriggerFired))
        elections = len(await entries_of_type(app, LeaderElected))
    assert elections >= 3
    assert ticks_seen == [ticks_seen[0] + second for second in range(len(ticks_seen))]
    assert ended - 10 <= ticks_seen[-1] <= ended
    assert set(fired.values()) == {1}


async def _ticked(app: TriggerEngine, times: int) -> bool:
    return len(await entries_of_type(app, CronTicked)) >= times


async def _leader_pid(app: TriggerEngine) -> int:
    elected = (await entries_of_type(app, LeaderElected))[-1]
    rows = await (await app._internals.connections.session()).log.runners()
    return next(row.facts.pid for row in rows if row.facts.runner_id == elected.runner_id)
