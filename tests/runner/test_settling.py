"""What came of attempts goes into the log together, and each alone where one cannot."""

import asyncio

from tests.support.apps import MakeApp, on_memory
from tests.support.reading import entries_of_type, is_running
from tests.support.waiting import wait_until
from trigger_engine import InvocationStatus, TaskFailed
from trigger_engine.entries.facts import Failed, Succeeded
from trigger_engine.errors import PayloadTooLarge
from trigger_engine.testing import inject_faults

TASKS = 20


async def test_tasks_that_end_at_the_same_time_are_settled_in_a_few_appends(make_app: MakeApp) -> None:
    app = make_app()
    faults = inject_faults(app)
    gate = asyncio.Event()

    @app.task
    async def wait() -> None:
        await gate.wait()

    async with app, app.runner():
        invocations = [await wait() for _ in range(TASKS)]
        for invocation in invocations:
            await wait_until(lambda invocation=invocation: is_running(invocation))
        before = faults.calls["append"]
        gate.set()
        for invocation in invocations:
            assert await invocation.result(timeout=10) is None
        assert faults.calls["append"] - before < TASKS
        assert len(await entries_of_type(app, Succeeded)) == TASKS


async def test_a_result_that_the_backend_never_takes_fails_its_own_invocation_alone() -> None:
    app = on_memory()
    faults = inject_faults(app)
    gate = asyncio.Event()

    @app.task
    async def wait(number: int) -> int:
        await gate.wait()
        return number

    async with app, app.runner():
        invocations = [await wait(number) for number in range(3)]
        for invocation in invocations:
            await wait_until(lambda invocation=invocation: is_running(invocation))
        faults.fail("append", error=lambda: PayloadTooLarge("over the server's limit"), entries=Succeeded, times=2)
        gate.set()
        outcomes = await asyncio.gather(*(one.result(timeout=10) for one in invocations), return_exceptions=True)
        assert [type(outcome) for outcome in outcomes].count(TaskFailed) == 1
        (failed,) = await entries_of_type(app, Failed)
        assert failed.exception.type == "PayloadTooLarge"
        statuses = [await invocation.status() for invocation in invocations]
        assert statuses.count(InvocationStatus.SUCCESS) == 2
