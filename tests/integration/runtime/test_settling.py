"""Settling attempts: outcomes are appended together, or one by one if one of them cannot be stored."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from tests.support.apps import MakeApp, on_memory
from tests.support.reading import entries_of_type, is_running
from tests.support.waiting import wait_until
from trigger_engine import Invocation, TaskFailed
from trigger_engine._model.entries import Failed, Succeeded
from trigger_engine.backend._contract import Outcome, Part
from trigger_engine.errors import PayloadTooLarge
from trigger_engine.testing import inject_faults

TASKS = 20


async def are_running(invocations: list[Invocation[Any]]) -> bool:
    return all([await is_running(invocation) for invocation in invocations])


async def test_tasks_that_end_at_the_same_time_are_settled_in_a_few_appends(make_app: MakeApp) -> None:
    app = make_app()
    faults = inject_faults(app)
    gate = asyncio.Event()

    @app.task
    async def wait() -> None:
        await gate.wait()

    async with app, app.runner():
        invocations = [await wait() for _ in range(TASKS)]
        await wait_until(lambda: are_running(invocations))
        before = faults.calls["append"]
        gate.set()
        for invocation in invocations:
            await invocation.result(timeout=60)
        assert faults.calls["append"] - before < TASKS
        assert len(await entries_of_type(app, Succeeded)) == TASKS


async def test_a_result_that_the_backend_refuses_fails_only_its_invocation(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    app = on_memory()
    gate = asyncio.Event()

    @app.task
    async def wait(number: int) -> int:
        await gate.wait()
        return number

    async with app, app.runner():
        log = (await app._internals.connections.session()).log
        append = log.append

        async def append_but_one(parts: Sequence[Part]) -> list[Outcome]:
            if any(isinstance(entry, Succeeded) and bytes(entry.result) == b"\x01" for part in parts for entry in part):
                raise PayloadTooLarge("over the server's limit")
            return await append(parts)

        monkeypatch.setattr(log, "append", append_but_one)
        invocations = [await wait(number) for number in range(3)]
        await wait_until(lambda: are_running(invocations))
        gate.set()
        outcomes = await asyncio.gather(*(one.result(timeout=60) for one in invocations), return_exceptions=True)
        assert [type(outcome) for outcome in outcomes] == [int, TaskFailed, int]
        (failed,) = await entries_of_type(app, Failed)
        assert failed.exception.type == "PayloadTooLarge"
