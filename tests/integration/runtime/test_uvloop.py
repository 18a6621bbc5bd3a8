"""The same runner on uvloop."""

import asyncio
import os
import signal
import time

import pytest

from tests.support import child_tasks
from tests.support.apps import MakeApp
from tests.support.waiting import wait_until
from trigger_engine import TriggerBuilder
from trigger_engine._client.connections import Connections

uvloop = pytest.importorskip("uvloop")


def test_async_tasks_threads_triggers_and_signals_on_uvloop(make_app: MakeApp) -> None:
    app = make_app()
    seen: list[str] = []

    @app.task
    def in_thread(x: int) -> int:
        app.sync.emit_event("sent")
        return 2 * x

    @app.task(triggers=TriggerBuilder().on_event("sent"))
    async def follow() -> None:
        seen.append("followed")

    async def main() -> None:
        async with app:
            running = asyncio.create_task(app.run())
            assert await (await in_thread(4)).result(timeout=60) == 8
            await wait_until(lambda: seen)
            os.kill(os.getpid(), signal.SIGTERM)
            async with asyncio.timeout(10):
                await running

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())
    assert seen == ["followed"]


def test_child_processes_on_uvloop(make_app: MakeApp, monkeypatch: pytest.MonkeyPatch) -> None:
    fresh = make_app(app_id="children")
    connections = Connections(fresh._internals.connections.backend, time.time)
    monkeypatch.setattr(child_tasks.app._internals, "connections", connections)

    async def main() -> None:
        async with child_tasks.app, child_tasks.app.runner():
            assert await (await child_tasks.double(4)).result(timeout=60) == 8
            with pytest.raises(Exception, match="exited with code 7"):
                await (await child_tasks.leave("exit")).result(timeout=60)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())
