"""A SQLite log belongs to one loop of one process: however these end, nothing hangs, warns or leaks."""

import asyncio
import gc
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import uvloop

from tests.integration.storage.sqlite_files import is_sound, open_log, query
from tests.support.waiting import is_quick
from trigger_engine._storage.sqlite.database import Database
from trigger_engine.errors import BackendUnavailable
from trigger_engine.testing.conformance._harness import PATIENCE, append, ids
from trigger_engine.testing.conformance._sample_entries import event

EMIT_WITHOUT_CLOSING = """
import asyncio, sys, time
from trigger_engine._storage.sqlite.backend import SQLiteTrigger
from trigger_engine._storage.sqlite.settings import SQLiteSettings
from trigger_engine.testing.conformance._sample_entries import event

async def main():
    global log
    log = await SQLiteTrigger(SQLiteSettings(sys.argv[1]), app_id="shop").open(clock=time.time)
    await log.append([(event("a"),)])
    waiting = asyncio.create_task(log.follow(await log.tail(), wait=60))
    await asyncio.sleep(0)

asyncio.run(main())
print(time.time())
"""

FORK_UNDER_LOAD = """
import asyncio, os, sys, time
from trigger_engine.errors import BackendUnavailable
from trigger_engine._storage.sqlite.backend import SQLiteTrigger
from trigger_engine._storage.sqlite.settings import SQLiteSettings
from trigger_engine.testing.conformance._harness import append
from trigger_engine.testing.conformance._sample_entries import event

def backend():
    return SQLiteTrigger(SQLiteSettings(sys.argv[1]), app_id="shop")

async def use_own(inherited, name):
    try:
        await inherited.tail()
    except BackendUnavailable as exc:
        assert "of which this is a fork" in str(exc)
    else:
        raise AssertionError("a child used its parent's log")
    await inherited.close()
    async with await backend().open(clock=time.time) as log:
        for number in range(20):
            await append(log, event(f"{name}-{number}"))

def child(inherited, name):
    try:
        asyncio.set_event_loop(None)
        asyncio.events._set_running_loop(None)
        asyncio.run(use_own(inherited, name))
        os._exit(0)
    except BaseException as exc:
        print(repr(exc), file=sys.stderr)
        os._exit(1)

async def write(log, name, stop):
    number = 0
    while not stop.is_set():
        await append(log, event(f"{name}-{number}"))
        number += 1

async def main():
    async with await backend().open(clock=time.time) as log:
        stop = asyncio.Event()
        reading = asyncio.create_task(log.follow(await log.tail(), wait=60))
        writers = [asyncio.create_task(write(log, f"parent{n}", stop)) for n in range(4)]
        children = []
        for number in range(8):
            await asyncio.sleep(0.01)
            pid = os.fork()
            if pid == 0:
                child(log, f"child{number}")
            children.append(pid)
        codes = [await asyncio.to_thread(os.waitpid, pid, 0) for pid in children]
        assert [status for _, status in codes] == [0] * 8, codes
        stop.set()
        await asyncio.gather(reading, *writers)
        await append(log, event("last"))
        print("done")

asyncio.run(main())
"""


@pytest.fixture
def path(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path / "log.db"
    gc.collect()


def run(program: str, path: Path, *, python: tuple[str, ...] = ("-W", "error")) -> str:
    done = subprocess.run(
        [sys.executable, *python, "-c", program, str(path)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stderr == ""
    assert done.returncode == 0
    return done.stdout


def threads() -> set[threading.Thread]:
    return set(threading.enumerate())


def wait_until_ended(own: set[threading.Thread]) -> None:
    for thread in own:
        thread.join(PATIENCE)
    assert not any(thread.is_alive() for thread in own)


async def test_close_ends_the_threads_and_removes_the_wake_socket(path: Path) -> None:
    before = threads()
    async with await open_log(path) as log:
        await asyncio.wait_for(log.follow(await log.tail(), wait=0.01), PATIENCE)
        own = threads() - before
        assert len(own) == 2
        assert all(thread.daemon for thread in own)
    await asyncio.to_thread(wait_until_ended, own)
    assert not [name for name in os.listdir(f"{path}-run") if name.startswith("wake-")]
    assert sorted(os.listdir(path.parent)) == [path.name, f"{path.name}-run"]


@pytest.mark.parametrize("runner", [asyncio.run, uvloop.run])
def test_loop_that_ends_without_closing_leaves_no_thread_and_no_warning(path: Path, runner: object) -> None:
    before = threads()
    logs = []

    async def leave() -> None:
        log = await open_log(path)
        logs.append(log)
        tasks = [asyncio.create_task(append(log, event(f"e{n}"))) for n in range(50)]
        tasks.append(asyncio.create_task(log.follow(await log.tail(), wait=60)))  # type: ignore[arg-type]
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)

    assert callable(runner)
    runner(leave())
    own = threads() - before
    assert own
    logs.clear()
    gc.collect()
    wait_until_ended(own)
    assert is_sound(path)


def test_two_loops_in_a_row_see_the_same_log(path: Path) -> None:
    async def write(name: str) -> list[str]:
        async with await open_log(path) as log:
            await append(log, event(name))
            return await ids(log)

    assert asyncio.run(write("a")) == ["a"]
    assert asyncio.run(write("b")) == ["a", "b"]


def test_loops_in_several_threads_share_the_log(path: Path) -> None:
    async def write(name: str) -> None:
        async with await open_log(path) as log:
            for number in range(20):
                await append(log, event(f"{name}-{number}"))

    own = [threading.Thread(target=asyncio.run, args=(write(name),)) for name in "abcd"]
    for thread in own:
        thread.start()
    for thread in own:
        thread.join()
    assert len(query(path, "SELECT id FROM entries")) == 80


def test_program_that_appends_without_closing_exits_at_once(path: Path) -> None:
    assert is_quick(lambda: float(run(EMIT_WITHOUT_CLOSING, path)))
    assert query(path, "SELECT id FROM entries") == [("a",)]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="has no fork")
def test_forked_children_and_their_parent_use_separate_connections(path: Path) -> None:
    assert run(FORK_UNDER_LOAD, path, python=("-W", "ignore::DeprecationWarning")) == "done\n"
    assert is_sound(path)
    found = [name for (name,) in query(path, "SELECT id FROM entries ORDER BY place")]
    assert {f"child{n}-{m}" for n in range(8) for m in range(20)} < set(found)
    assert found[-1] == "last"


async def test_call_cancelled_before_its_turn_has_no_effect(path: Path) -> None:
    async with await open_log(path) as log:
        held, go = threading.Event(), threading.Event()

        def hold(_: object) -> None:
            held.set()
            go.wait(PATIENCE)

        holding = asyncio.create_task(log._writer.run(hold))
        await asyncio.to_thread(held.wait, PATIENCE)
        late = asyncio.create_task(append(log, event("late")))
        await asyncio.sleep(0)
        late.cancel()
        await asyncio.wait([late])
        go.set()
        await holding
        await append(log, event("next"))
        assert await ids(log) == ["next"]


async def test_reads_do_not_wait_for_a_writer(path: Path) -> None:
    async with await open_log(path) as log:
        held, go = threading.Event(), threading.Event()

        def hold(_: object) -> None:
            held.set()
            go.wait(PATIENCE)

        holding = asyncio.create_task(log._writer.run(hold))
        await asyncio.to_thread(held.wait, PATIENCE)
        async with asyncio.timeout(PATIENCE / 2):
            assert await ids(log) == []
            assert await log.invocation("i1") is None
        go.set()
        await holding


async def test_call_to_a_hanging_thread_times_out(path: Path) -> None:
    async with await open_log(path) as log:
        go = threading.Event()
        holding = asyncio.create_task(log._writer.run(lambda _: go.wait(PATIENCE)))
        await asyncio.sleep(0)
        with pytest.raises(BackendUnavailable, match=r"was not written within 0.01 s, the effect is unknown"):
            await log._writer.run(Database.open, seconds=0.01)
        go.set()
        await holding
