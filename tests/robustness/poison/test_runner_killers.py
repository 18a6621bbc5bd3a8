"""Tasks that take their runner down: real runner processes on one SQLite file."""

from collections.abc import AsyncIterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.support.apps import on_sqlite
from tests.support.programs import output, started
from tests.support.reading import entries_of_type, is_ended
from tests.support.waiting import wait_until
from trigger_engine import AsyncTask, TaskFailed, TriggerEngine
from trigger_engine._audit.auditing import audit
from trigger_engine._model.entries import Recovered, Started

pytestmark = pytest.mark.chaos

RUNNER = """
import asyncio
import os
import signal
import threading

from tests.support.apps import QUICK
from trigger_engine import TriggerEngine

app = TriggerEngine(**QUICK, max_recoveries=int(os.environ["RECOVERIES"]))


@app.task(task_id="take_down")
async def take_down(how: str) -> None:
    if how == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if how == "exit":
        os._exit(9)
    if how == "abort":
        os.abort()
    while True:
        pass


@app.task(task_id="take_down_from_thread")
def take_down_from_thread() -> None:
    os._exit(9)


@app.task(task_id="quick")
async def quick() -> str:
    return "fine"


asyncio.run(app.run())
"""


@pytest.fixture
async def app(tmp_path: Path) -> AsyncIterator[TriggerEngine]:
    """The same data as the runners have."""
    (tmp_path / "runner.py").write_text(RUNNER)
    app = on_sqlite(tmp_path / "shared.db", app_id="shared")
    async with app:
        yield app
        report = await audit(app)
        assert report.consistent, report.violations


def declared(app: TriggerEngine) -> tuple[AsyncTask[[str], None], AsyncTask[[], None], AsyncTask[[], str]]:
    @app.task(task_id="take_down")
    async def take_down(how: str) -> None: ...

    @app.task(task_id="take_down_from_thread")
    async def take_down_from_thread() -> None: ...

    @app.task(task_id="quick")
    async def quick() -> str:
        return ""

    return take_down, take_down_from_thread, quick


@pytest.mark.parametrize("how", ["kill", "exit", "abort", "exit in a thread"])
async def test_task_that_kills_its_runner_is_given_up_and_others_run(
    app: TriggerEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    monkeypatch.setenv("RECOVERIES", "1")
    take_down, take_down_from_thread, quick = declared(app)
    killer = await (take_down(how) if how != "exit in a thread" else take_down_from_thread())
    deaths = 0
    while not await is_ended(killer):
        with started(tmp_path, "runner.py") as runner:
            await wait_until(lambda: runner.poll() is not None or is_ended(killer), deadline=60)
            deaths += runner.poll() is not None
            if await is_ended(killer):
                assert await (await quick()).result(timeout=60) == "fine"
    assert deaths == 2, output(tmp_path)
    with pytest.raises(TaskFailed, match=r"its runner was lost 2 times \(max_recoveries=1\)") as caught:
        await killer.result(timeout=60)
    assert caught.value.exception_type == "RunnerLost"
    assert len(await entries_of_type(app, Recovered)) == 1
    assert len([one for one in await entries_of_type(app, Started) if one.invocation_id == killer.invocation_id]) == 2


async def test_task_that_blocks_its_runners_loop_is_given_up_by_another_runner(
    app: TriggerEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RECOVERIES", "0")
    take_down, _, quick = declared(app)
    with ExitStack() as runners:
        blocked = runners.enter_context(started(tmp_path, "runner.py"))
        blocker = await take_down("block")
        await wait_until(lambda: entries_of_type(app, Started), deadline=60)
        runners.enter_context(started(tmp_path, "runner.py"))
        with pytest.raises(TaskFailed, match=r"its runner was lost 1 times \(max_recoveries=0\)"):
            await blocker.result(timeout=60)
        assert await (await quick()).result(timeout=60) == "fine"
        assert blocked.poll() is None
