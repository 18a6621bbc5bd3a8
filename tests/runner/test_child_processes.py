"""`def` tasks in child processes."""

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from tests.support import child_tasks as tasks
from tests.support.apps import MakeApp, on_memory
from tests.support.programs import is_alive
from tests.support.reading import entries_of_type, is_running, statuses
from tests.support.waiting import wait_until
from trigger_engine import InvocationCancelled, InvocationStatus, TaskFailed, TriggerEngine
from trigger_engine.entries.facts import EventEmitted, InvocationRegistered
from trigger_engine.runner.processes import ChildProcesses
from trigger_engine.session import Connections


@pytest.fixture
async def app(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[TriggerEngine]:
    """The children's app on fresh memory, and a runner."""
    put_on(on_memory(app_id="children"), monkeypatch)
    async with tasks.app, tasks.app.runner():
        yield tasks.app


@pytest.fixture
async def app_anywhere(make_app: MakeApp, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[TriggerEngine]:
    """The same on memory and on SQLite."""
    put_on(make_app(app_id="children"), monkeypatch)
    async with tasks.app, tasks.app.runner():
        yield tasks.app


def put_on(fresh: TriggerEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Gives the children's app the data of another one."""
    monkeypatch.setattr(tasks.app, "_connections", Connections(fresh._connections.backend, time.time))


async def pid_in(file: Path) -> int:
    return int(await wait_until(lambda: file.exists() and file.read_text()))


async def test_a_result_comes_back(app_anywhere: TriggerEngine) -> None:
    invocation = await tasks.double(21)
    assert await invocation.result(timeout=20) == 42
    assert await statuses(app_anywhere, invocation) == ["registered", "pending", "running", "success"]


async def test_a_child_is_used_again_and_never_more_than_the_limit(app: TriggerEngine) -> None:
    pids = {await (await tasks.pid()).result(timeout=20) for _ in range(5)}
    assert len(pids) == 1
    assert os.getpid() not in pids
    invocations = [await tasks.pid() for _ in range(10)]
    pids |= {await invocation.result(timeout=20) for invocation in invocations}
    assert len(pids) <= 2


async def test_a_child_knows_its_invocation(app: TriggerEngine) -> None:
    invocation = await tasks.who_am_i()
    assert await invocation.result(timeout=20) == {
        "app_id": "children",
        "invocation_id": invocation.invocation_id,
        "task_id": tasks.who_am_i.task_id,
        "attempt": 1,
        "trigger_run_id": None,
        "depth": 0,
        "arguments": {},
    }


async def test_an_exception_comes_back_with_its_traceback(app: TriggerEngine) -> None:
    with pytest.raises(TaskFailed) as failed:
        await (await tasks.fail("no luck")).result(timeout=20)
    assert (failed.value.exception_type, failed.value.exception_message) == ("Custom", "no luck")
    assert "raise Custom(message)" in failed.value.traceback
    assert "child.py" not in failed.value.traceback


async def test_retries_follow_the_childs_own_classes(app: TriggerEngine) -> None:
    twice, otherwise = await tasks.fail_twice(), await tasks.fail_otherwise()
    assert await twice.result(timeout=20) == 3
    with pytest.raises(TaskFailed, match="not worth it"):
        await otherwise.result(timeout=20)
    assert (await statuses(app, twice)).count("retry") == 2
    assert (await statuses(app, otherwise)).count("retry") == 0


async def test_values_that_cannot_come_back_fail_the_task(app: TriggerEngine) -> None:
    with pytest.raises(TaskFailed, match="SerializationError"):
        await (await tasks.give_unencodable()).result(timeout=20)
    with pytest.raises(TaskFailed, match="PayloadTooLarge"):
        await (await tasks.give_much(app.settings.max_payload_bytes + 1)).result(timeout=20)


async def test_large_values_pass(app: TriggerEngine) -> None:
    assert await (await tasks.take_much("x" * 2_000_000)).result(timeout=20) == 2_000_000
    assert len(await (await tasks.give_much(2_000_000)).result(timeout=20)) == 2_000_000


async def test_a_child_emits_through_the_runner(app_anywhere: TriggerEngine) -> None:
    invocation = await tasks.emit("told", 3)
    ids = await invocation.result(timeout=20)
    events = await entries_of_type(app_anywhere, EventEmitted)
    assert [event.id for event in events] == ids
    assert [msgspec.msgpack.decode(event.payload) for event in events] == [{"n": n} for n in range(3)]
    assert {event.emitter_invocation_id for event in events} == {invocation.invocation_id}
    assert {event.emitter_task_id for event in events} == {tasks.emit.task_id}
    keyed = {await (await tasks.emit_keyed()).result(timeout=20) for _ in range(2)}
    assert len(keyed) == 1


async def test_a_child_enqueues_through_the_runner(app_anywhere: TriggerEngine) -> None:
    invocation = await tasks.enqueue(7)
    plain, optional = await invocation.result(timeout=20)
    assert await (await app_anywhere.invocation(plain)).result(timeout=20) == 21
    assert await (await app_anywhere.invocation(optional)).result(timeout=20) == 21
    registered = {entry.id: entry for entry in await entries_of_type(app_anywhere, InvocationRegistered)}
    assert registered[plain].parent_invocation_id == invocation.invocation_id
    assert registered[optional].queue == "other"


async def test_what_a_child_cannot_emit_or_enqueue_raises_there(app: TriggerEngine) -> None:
    with pytest.raises(TaskFailed, match="SerializationError: payload of event 'bad'"):
        await (await tasks.emit_unencodable()).result(timeout=20)
    with pytest.raises(TaskFailed, match="TypeError"):
        await (await tasks.enqueue_unfit()).result(timeout=20)
    assert await (await tasks.double(1)).result(timeout=20) == 2


@pytest.mark.parametrize(("how", "told"), [("exit", "exited with code 7"), ("kill", "was killed by signal 9")])
async def test_a_child_that_dies_fails_its_invocation_alone(app: TriggerEngine, how: str, told: str) -> None:
    other = await tasks.double(4)
    with pytest.raises(TaskFailed, match=told) as failed:
        await (await tasks.leave(how)).result(timeout=20)
    assert failed.value.exception_type == "RunnerLost"
    assert await other.result(timeout=20) == 8
    assert await (await tasks.double(5)).result(timeout=20) == 10


async def test_a_child_that_dies_while_it_is_idle_harms_no_task(app: TriggerEngine) -> None:
    for _ in range(3):
        pid = await (await tasks.pid()).result(timeout=20)
        os.kill(pid, signal.SIGKILL)
        assert await (await tasks.pid()).result(timeout=20) != pid


async def test_the_connection_to_a_child_that_has_ended_while_it_was_idle_is_closed(app: TriggerEngine) -> None:
    pid = await (await tasks.pid()).result(timeout=20)
    os.kill(pid, signal.SIGKILL)
    await wait_until(lambda: not is_alive(pid))
    # An open one would give a warning, which fails the test.
    assert await (await tasks.pid()).result(timeout=20) != pid


async def test_a_child_that_dies_before_it_has_begun_harms_no_task(app: TriggerEngine) -> None:
    pid = await (await tasks.pid()).result(timeout=20)
    os.kill(pid, signal.SIGSTOP)
    invocation = await tasks.pid()
    await wait_until(lambda: is_running(invocation))
    os.kill(pid, signal.SIGKILL)
    assert await invocation.result(timeout=20) != pid
    assert await statuses(app, invocation) == ["registered", "pending", "running", "success"]


async def test_a_task_that_kills_its_child_at_once_has_begun_once(app: TriggerEngine, tmp_path: Path) -> None:
    for attempt in range(1, 4):
        await (await tasks.pid()).result(timeout=20)
        with pytest.raises(TaskFailed, match="exited with code 7"):
            await (await tasks.leave_a_line_and_die(str(tmp_path / "lines"))).result(timeout=20)
        assert (tmp_path / "lines").read_text() == "begun\n" * attempt


@pytest.mark.parametrize(("how", "kind"), [("sys.exit", "SystemExit"), ("interrupt", "KeyboardInterrupt")])
async def test_leaving_by_an_exception_is_a_failure_like_others(app: TriggerEngine, how: str, kind: str) -> None:
    pid = await (await tasks.pid()).result(timeout=20)
    with pytest.raises(TaskFailed) as failed:
        await (await tasks.leave(how)).result(timeout=20)
    assert failed.value.exception_type == kind
    assert await (await tasks.pid()).result(timeout=20) == pid


async def test_a_child_that_leaves_a_grandchild_behind_is_noticed_when_it_dies(
    app: TriggerEngine, tmp_path: Path
) -> None:
    file = tmp_path / "pid"
    try:
        with pytest.raises(TaskFailed, match="exited with code 1"):
            await (await tasks.fork_and_die(str(file))).result(timeout=20)
    finally:
        os.kill(await pid_in(file), signal.SIGKILL)


async def test_a_timeout_kills_the_child(app: TriggerEngine, tmp_path: Path) -> None:
    await (await tasks.pid()).result(timeout=20)  # The start of a child counts against the time limit.
    invocation = await tasks.overrun(str(tmp_path / "pid"))
    with pytest.raises(TaskFailed, match="TaskTimeout"):
        await invocation.result(timeout=20)
    pid = await pid_in(tmp_path / "pid")
    await wait_until(lambda: not is_alive(pid))
    assert await (await tasks.double(1)).result(timeout=20) == 2


async def test_a_cancel_kills_the_child(app: TriggerEngine, tmp_path: Path) -> None:
    invocation = await tasks.tell_and_hang(str(tmp_path / "pid"))
    pid = await pid_in(tmp_path / "pid")
    assert await invocation.cancel() is True
    with pytest.raises(InvocationCancelled):
        await invocation.result(timeout=20)
    await wait_until(lambda: not is_alive(pid))
    assert await statuses(app, invocation) == ["registered", "pending", "running", "cancelled"]


async def test_a_full_set_of_children_keeps_other_tasks_waiting_but_not_async_ones(
    app: TriggerEngine, tmp_path: Path
) -> None:
    hanging = [await tasks.tell_and_hang(str(tmp_path / str(number))) for number in range(2)]
    for number in range(2):
        await pid_in(tmp_path / str(number))
    waiting = await tasks.double(1)
    assert await (await tasks.triple(1)).result(timeout=20) == 3
    assert await waiting.status() is InvocationStatus.REGISTERED
    await hanging[0].cancel()
    assert await waiting.result(timeout=20) == 2
    await hanging[1].cancel()


async def test_a_child_sees_the_environment_of_its_runner(app: TriggerEngine) -> None:
    assert await (await tasks.python_path()).result(timeout=20) == os.environ.get("PYTHONPATH")


async def test_a_thread_that_a_task_leaves_behind_disturbs_no_other_task(app: TriggerEngine) -> None:
    pid = await (await tasks.emit_after_the_end()).result(timeout=20)
    threads = await (await tasks.threads()).result(timeout=20)
    await wait_until(lambda: _fewer_threads(threads))
    assert await (await tasks.pid()).result(timeout=20) == pid
    assert await entries_of_type(app, EventEmitted) == []


async def test_what_a_child_prints_passes_through(app: TriggerEngine, capfd: pytest.CaptureFixture[str]) -> None:
    await (await tasks.speak("hello there")).result(timeout=20)
    out, err = capfd.readouterr()
    assert "hello there" in out
    assert "hello there" in err


async def test_children_end_with_the_runner(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    put_on(on_memory(app_id="children"), monkeypatch)
    settings = msgspec.structs.replace(tasks.app.settings, shutdown_timeout=0.05)
    monkeypatch.setattr(tasks.app, "settings", settings)
    async with tasks.app:
        async with tasks.app.runner():
            idle = await (await tasks.pid()).result(timeout=20)
            invocation = await tasks.tell_and_hang(str(tmp_path / "pid"))
            busy = await pid_in(tmp_path / "pid")
            await wait_until(lambda: is_running(invocation))
        await wait_until(lambda: not is_alive(idle) and not is_alive(busy))
        assert await invocation.status() is InvocationStatus.REGISTERED


async def test_the_runner_class_says_where_def_tasks_run(app: TriggerEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    assert await (await tasks.by_runner()).result(timeout=20) == os.getpid()
    settings = msgspec.structs.replace(app.settings, runner_cls="ProcessRunner")
    monkeypatch.setattr(app, "settings", settings)
    assert await (await tasks.by_runner()).result(timeout=20) != os.getpid()
    assert await (await tasks.in_thread()).result(timeout=20) == os.getpid()
    assert await (await tasks.triple(2)).result(timeout=20) == 6


async def test_a_stopped_start_of_a_child_leaves_nothing_behind(app: TriggerEngine) -> None:
    for pause in (0.0, 0.001, 0.01, 0.05):
        invocation = await tasks.pid()
        await wait_until(lambda: is_running(invocation))  # noqa: B023
        await asyncio.sleep(pause)
        await invocation.cancel()
    assert await (await tasks.double(1)).result(timeout=20) == 2


@pytest.mark.parametrize("steps", [1, 2])
async def test_idle_children_end_though_their_end_is_cancelled(app: TriggerEngine, steps: int) -> None:
    processes = ChildProcesses(app, limit=1)
    child = await processes._spawn()
    processes._idle.append(child)
    # Stopped, it does not end by itself when it is told.
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
    return await (await tasks.threads()).result(timeout=20) < before
