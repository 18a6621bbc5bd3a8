"""`def` tasks in child processes."""

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.support import child_tasks as tasks
from tests.support.apps import MakeApp, on_memory
from tests.support.programs import is_alive
from tests.support.reading import entries_of_type, is_running, statuses
from tests.support.waiting import wait_until
from trigger_engine import InvocationCancelled, InvocationStatus, TaskFailed, TriggerEngine
from trigger_engine._client.connections import Connections
from trigger_engine._model.entries import EventEmitted, InvocationRegistered
from trigger_engine._runtime.worker.processes import ChildProcesses


@pytest.fixture
async def app(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[TriggerEngine]:
    """The app of the child processes, on a new memory backend, with a runner."""
    put_on(on_memory(app_id="children"), monkeypatch)
    async with tasks.app, tasks.app.runner():
        yield tasks.app


@pytest.fixture
async def app_anywhere(make_app: MakeApp, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[TriggerEngine]:
    """The same app on every backend."""
    put_on(make_app(app_id="children"), monkeypatch)
    async with tasks.app, tasks.app.runner():
        yield tasks.app


def put_on(fresh: TriggerEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Connects the app of the child processes to the backend of another app."""
    connections = Connections(fresh._internals.connections.backend, time.time)
    monkeypatch.setattr(tasks.app._internals, "connections", connections)


def override(app: TriggerEngine, monkeypatch: pytest.MonkeyPatch, **settings: Any) -> None:
    """Replaces settings of an app for one test."""
    monkeypatch.setattr(app._internals, "config", app._internals.config)
    app._internals.override(**settings)


async def pid_in(file: Path) -> int:
    return int(await wait_until(lambda: file.exists() and file.read_text()))


async def test_a_child_returns_a_result(app_anywhere: TriggerEngine) -> None:
    invocation = await tasks.double(21)
    assert await invocation.result(timeout=60) == 42
    assert await statuses(app_anywhere, invocation) == ["registered", "pending", "running", "success"]


async def test_children_are_reused_and_limited(app: TriggerEngine) -> None:
    pids = {await (await tasks.pid()).result(timeout=60) for _ in range(5)}
    assert len(pids) == 1
    assert os.getpid() not in pids
    invocations = [await tasks.pid() for _ in range(10)]
    pids |= {await invocation.result(timeout=60) for invocation in invocations}
    assert len(pids) <= 2


async def test_a_child_knows_its_invocation(app: TriggerEngine) -> None:
    invocation = await tasks.who_am_i()
    assert await invocation.result(timeout=60) == {
        "app_id": "children",
        "invocation_id": invocation.invocation_id,
        "task_id": tasks.who_am_i.task_id,
        "attempt": 1,
        "trigger_run_id": None,
        "depth": 0,
        "arguments": {},
    }


async def test_a_child_returns_an_exception_with_its_traceback(app: TriggerEngine) -> None:
    with pytest.raises(TaskFailed) as failed:
        await (await tasks.fail("no luck")).result(timeout=60)
    assert (failed.value.exception_type, failed.value.exception_message) == ("Custom", "no luck")
    assert "raise Custom(message)" in failed.value.traceback
    assert "child.py" not in failed.value.traceback


async def test_retries_match_the_exception_classes_of_the_child(app: TriggerEngine) -> None:
    twice, otherwise = await tasks.fail_twice(), await tasks.fail_otherwise()
    assert await twice.result(timeout=60) == 3
    with pytest.raises(TaskFailed, match="not worth it"):
        await otherwise.result(timeout=60)
    assert (await statuses(app, twice)).count("retry") == 2
    assert (await statuses(app, otherwise)).count("retry") == 0


async def test_an_unencodable_result_of_a_child_fails_the_task(app: TriggerEngine) -> None:
    with pytest.raises(TaskFailed, match="SerializationError"):
        await (await tasks.give_unencodable()).result(timeout=60)
    with pytest.raises(TaskFailed, match="PayloadTooLarge"):
        await (await tasks.give_much(app._internals.settings.max_payload_bytes + 1)).result(timeout=60)


async def test_a_child_takes_and_returns_large_values(app: TriggerEngine) -> None:
    assert await (await tasks.take_much("x" * 2_000_000)).result(timeout=60) == 2_000_000
    assert len(await (await tasks.give_much(2_000_000)).result(timeout=60)) == 2_000_000


async def test_a_child_emits_through_the_runner(app_anywhere: TriggerEngine) -> None:
    invocation = await tasks.emit("message", 3)
    ids = await invocation.result(timeout=60)
    events = await entries_of_type(app_anywhere, EventEmitted)
    assert [event.id for event in events] == ids
    assert [msgspec.msgpack.decode(event.payload) for event in events] == [{"n": n} for n in range(3)]
    assert {event.emitter_invocation_id for event in events} == {invocation.invocation_id}
    assert {event.emitter_task_id for event in events} == {tasks.emit.task_id}
    keyed = {await (await tasks.emit_keyed()).result(timeout=60) for _ in range(2)}
    assert len(keyed) == 1


async def test_a_child_enqueues_through_the_runner(app_anywhere: TriggerEngine) -> None:
    invocation = await tasks.enqueue(7)
    plain, optional = await invocation.result(timeout=60)
    assert await (await app_anywhere.invocation(plain)).result(timeout=60) == 21
    assert await (await app_anywhere.invocation(optional)).result(timeout=60) == 21
    registered = {entry.id: entry for entry in await entries_of_type(app_anywhere, InvocationRegistered)}
    assert registered[plain].parent_invocation_id == invocation.invocation_id
    assert registered[optional].queue == "other"


async def test_errors_of_emit_and_enqueue_are_raised_in_the_child(app: TriggerEngine) -> None:
    with pytest.raises(TaskFailed, match="SerializationError: payload of event 'bad'"):
        await (await tasks.emit_unencodable()).result(timeout=60)
    with pytest.raises(TaskFailed, match="TypeError"):
        await (await tasks.enqueue_unfit()).result(timeout=60)
    assert await (await tasks.double(1)).result(timeout=60) == 2


@pytest.mark.parametrize(("how", "message"), [("exit", "exited with code 7"), ("kill", "was killed by signal 9")])
async def test_a_dying_child_fails_only_its_invocation(app: TriggerEngine, how: str, message: str) -> None:
    other = await tasks.double(4)
    with pytest.raises(TaskFailed, match=message) as failed:
        await (await tasks.leave(how)).result(timeout=60)
    assert failed.value.exception_type == "RunnerLost"
    assert await other.result(timeout=60) == 8
    assert await (await tasks.double(5)).result(timeout=60) == 10


async def test_a_child_that_dies_while_idle_affects_no_task(app: TriggerEngine) -> None:
    for _ in range(3):
        pid = await (await tasks.pid()).result(timeout=60)
        os.kill(pid, signal.SIGKILL)
        assert await (await tasks.pid()).result(timeout=60) != pid


async def test_the_connection_to_a_child_that_died_while_idle_is_closed(app: TriggerEngine) -> None:
    pid = await (await tasks.pid()).result(timeout=60)
    os.kill(pid, signal.SIGKILL)
    await wait_until(lambda: not is_alive(pid))
    # An open connection would cause a warning, which fails the test.
    assert await (await tasks.pid()).result(timeout=60) != pid


async def test_a_child_that_dies_before_starting_affects_no_task(app: TriggerEngine) -> None:
    pid = await (await tasks.pid()).result(timeout=60)
    os.kill(pid, signal.SIGSTOP)
    invocation = await tasks.pid()
    await wait_until(lambda: is_running(invocation))
    os.kill(pid, signal.SIGKILL)
    assert await invocation.result(timeout=60) != pid
    assert await statuses(app, invocation) == ["registered", "pending", "running", "success"]


async def test_a_task_that_kills_its_child_runs_once(app: TriggerEngine, tmp_path: Path) -> None:
    for attempt in range(1, 4):
        await (await tasks.pid()).result(timeout=60)
        with pytest.raises(TaskFailed, match="exited with code 7"):
            await (await tasks.leave_a_line_and_die(str(tmp_path / "lines"))).result(timeout=60)
        assert (tmp_path / "lines").read_text() == "begun\n" * attempt


@pytest.mark.parametrize(("how", "kind"), [("sys.exit", "SystemExit"), ("interrupt", "KeyboardInterrupt")])
async def test_exit_exceptions_fail_the_task(app: TriggerEngine, how: str, kind: str) -> None:
    pid = await (await tasks.pid()).result(timeout=60)
    with pytest.raises(TaskFailed) as failed:
        await (await tasks.leave(how)).result(timeout=60)
    assert failed.value.exception_type == kind
    assert await (await tasks.pid()).result(timeout=60) == pid


async def test_a_child_with_a_grandchild_is_noticed_when_it_dies(app: TriggerEngine, tmp_path: Path) -> None:
    file = tmp_path / "pid"
    try:
        with pytest.raises(TaskFailed, match="exited with code 1"):
            await (await tasks.fork_and_die(str(file))).result(timeout=60)
    finally:
        os.kill(await pid_in(file), signal.SIGKILL)


async def test_a_timeout_kills_the_child(app: TriggerEngine, tmp_path: Path) -> None:
    await (await tasks.pid()).result(timeout=60)  # Starting a child counts against the timeout.
    invocation = await tasks.overrun(str(tmp_path / "pid"))
    with pytest.raises(TaskFailed, match="TaskTimeout"):
        await invocation.result(timeout=60)
    pid = await pid_in(tmp_path / "pid")
    await wait_until(lambda: not is_alive(pid))
    assert await (await tasks.double(1)).result(timeout=60) == 2


async def test_a_cancel_kills_the_child(app: TriggerEngine, tmp_path: Path) -> None:
    invocation = await tasks.tell_and_hang(str(tmp_path / "pid"))
    pid = await pid_in(tmp_path / "pid")
    assert await invocation.cancel() is True
    with pytest.raises(InvocationCancelled):
        await invocation.result(timeout=60)
    await wait_until(lambda: not is_alive(pid))
    assert await statuses(app, invocation) == ["registered", "pending", "running", "cancelled"]


async def test_busy_children_delay_def_tasks_but_not_async_ones(app: TriggerEngine, tmp_path: Path) -> None:
    hanging = [await tasks.tell_and_hang(str(tmp_path / str(number))) for number in range(2)]
    for number in range(2):
        await pid_in(tmp_path / str(number))
    waiting = await tasks.double(1)
    assert await (await tasks.triple(1)).result(timeout=60) == 3
    assert await waiting.status() is InvocationStatus.REGISTERED
    await hanging[0].cancel()
    assert await waiting.result(timeout=60) == 2
    await hanging[1].cancel()


async def test_a_child_sees_the_environment_of_its_runner(app: TriggerEngine) -> None:
    assert await (await tasks.python_path()).result(timeout=60) == os.environ.get("PYTHONPATH")


async def test_a_thread_that_outlives_its_task_affects_no_other_task(app: TriggerEngine) -> None:
    pid = await (await tasks.emit_after_the_end()).result(timeout=60)
    threads = await (await tasks.threads()).result(timeout=60)
    await wait_until(lambda: _fewer_threads(threads))
    assert await (await tasks.pid()).result(timeout=60) == pid
    assert await entries_of_type(app, EventEmitted) == []


async def test_output_of_a_child_passes_through(app: TriggerEngine, capfd: pytest.CaptureFixture[str]) -> None:
    await (await tasks.speak("hello there")).result(timeout=60)
    out, err = capfd.readouterr()
    assert "hello there" in out
    assert "hello there" in err


async def test_children_end_with_the_runner(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    put_on(on_memory(app_id="children"), monkeypatch)
    override(tasks.app, monkeypatch, shutdown_timeout=0.05)
    async with tasks.app:
        async with tasks.app.runner():
            idle = await (await tasks.pid()).result(timeout=60)
            invocation = await tasks.tell_and_hang(str(tmp_path / "pid"))
            busy = await pid_in(tmp_path / "pid")
            await wait_until(lambda: is_running(invocation))
        await wait_until(lambda: not is_alive(idle) and not is_alive(busy))
        assert await invocation.status() is InvocationStatus.REGISTERED


async def test_runner_cls_decides_where_def_tasks_run(app: TriggerEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    assert await (await tasks.by_runner()).result(timeout=60) == os.getpid()
    override(app, monkeypatch, runner_cls="ProcessRunner")
    assert await (await tasks.by_runner()).result(timeout=60) != os.getpid()
    assert await (await tasks.in_thread()).result(timeout=60) == os.getpid()
    assert await (await tasks.triple(2)).result(timeout=60) == 6


async def test_a_cancelled_start_of_a_child_leaves_nothing_behind(app: TriggerEngine) -> None:
    for pause in (0.0, 0.001, 0.01, 0.05):
        invocation = await tasks.pid()
        await wait_until(lambda: is_running(invocation))  # noqa: B023
        await asyncio.sleep(pause)
        await invocation.cancel()
    assert await (await tasks.double(1)).result(timeout=60) == 2


@pytest.mark.parametrize("steps", [1, 2])
async def test_idle_children_end_even_if_closing_is_cancelled(app: TriggerEngine, steps: int) -> None:
    processes = ChildProcesses(app._internals, limit=1)
    child = await processes._spawn()
    processes._idle.append(child)
    # While suspended, the child does not exit when asked to.
    child.process.send_signal(signal.SIGSTOP)
    closing = asyncio.create_task(processes.close())
    for _ in range(steps):
        await asyncio.sleep(0)
    closing.cancel()
    try:
        await asyncio.wait([closing])
        assert closing.cancelled()
        await wait_until(lambda: child.process.returncode is not None)
    finally:
        await child.kill()


async def _fewer_threads(before: int) -> bool:
    return await (await tasks.threads()).result(timeout=60) < before
