"""What an interpreter sees of an app: it exits at once, without warnings, whatever was left open."""

from pathlib import Path

import pytest

from tests.support import programs
from tests.support.waiting import is_quick

APP = """
import asyncio, logging, sys
from trigger_engine import TriggerEngine

# Development mode also tells of slow callbacks, which a busy machine has.
logging.getLogger("asyncio").setLevel(logging.ERROR)

app = TriggerEngine(trigger_cls=sys.argv[1])

@app.task
async def double(x: int) -> int:
    return 2 * x

@app.task
def triple(x: int) -> int:
    return 3 * x
"""
LEFT_OPEN = {
    "a closed app": """
async def main():
    async with app:
        await app.emit_event("a")
asyncio.run(main())
""",
    "an app that was never closed": """
async def main():
    await app.emit_event("a")
    await double(1)
asyncio.run(main())
asyncio.run(main())
""",
    "a wait that nobody ended": """
async def main():
    waiting = asyncio.create_task((await double(1)).result())
    await asyncio.sleep(0.05)
asyncio.run(main())
""",
    "calls by app.sync": """
app.sync.emit_event("a")
app.sync.enqueue(double, 1)
""",
    "app.sync beside a loop of its own": """
async def main():
    async with app, app.runner():
        assert await (await triple(1)).result(timeout=60) == 3
app.sync.emit_event("a")
asyncio.run(main())
app.sync.emit_event("b")
""",
    "a runner that was not left": """
async def main():
    runner = app.runner()
    await runner.__aenter__()
    assert await (await triple(1)).result(timeout=60) == 3
asyncio.run(main())
""",
    "a def task that never ends": """
import threading
@app.task
def stuck() -> None:
    threading.Event().wait()

async def main():
    app._internals.override(shutdown_timeout=0.05)
    async with app, app.runner():
        invocation = await stuck()
        while await invocation.status() != "running":
            await asyncio.sleep(0.005)
asyncio.run(main())
""",
}
TIMED = "import time as _time; print(_time.time(), flush=True)\n"


@pytest.mark.parametrize("trigger_cls", ["MemTrigger", "SQLiteTrigger"])
@pytest.mark.parametrize("program", LEFT_OPEN.values(), ids=LEFT_OPEN)
def test_the_interpreter_exits_at_once_without_a_warning(tmp_path: Path, trigger_cls: str, program: str) -> None:
    (tmp_path / "program.py").write_text(APP + program + TIMED)

    def run() -> float:
        done = programs.run(tmp_path, "-X", "dev", "-W", "error", "program.py", trigger_cls)
        assert done.returncode == 0, done.stderr
        assert done.stderr == ""
        return float(done.stdout.split()[-1])

    assert is_quick(run)


def test_creating_an_app_opens_nothing_and_imports_no_backend_driver(tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(APP + "print(*(m for m in sys.modules if 'sqlite' in m))\n")
    done = programs.run(tmp_path, "program.py", "SQLiteTrigger")
    package = "trigger_engine._storage.sqlite"
    assert set(done.stdout.split()) <= {package, f"{package}.backend", f"{package}.settings"}
    assert not (tmp_path / "shared.db").exists()


def test_keys_count_across_processes(tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(
        APP
        + "event_id = app.sync.emit_event('paid', {'from': sys.argv[2]}, idempotency_key='order-1')\n"
        + "invocation = app.sync.enqueue(double.options(idempotency_key='order-1'), int(sys.argv[2]))\n"
        + "print(event_id, invocation.invocation_id)\n"
    )
    first = programs.run(tmp_path, "program.py", "SQLiteTrigger", "1")
    second = programs.run(tmp_path, "program.py", "SQLiteTrigger", "2")
    assert first.stdout == second.stdout
    assert len(first.stdout.split()) == 2


FORKING = """
import os

async def emit(name):
    async with app:
        await app.emit_event(name)

app.sync.emit_event("by the parent, before")
asyncio.run(emit("by the parent's loop, before"))
children = []
for number in range(3):
    child = os.fork()
    if child == 0:
        app.sync.emit_event(f"by child {number}, through app.sync")
        asyncio.run(emit(f"by child {number}, on a loop"))
        os._exit(0)
    children.append(child)
for child in children:
    assert os.waitpid(child, 0)[1] == 0
app.sync.emit_event("by the parent, after")

async def main():
    await app.emit_event("by the parent's loop, after")
    async with app.history() as history:
        for event in await history.events():
            print(event.event_code)

asyncio.run(main())
"""


def test_forked_children_and_their_parent_share_nothing_but_the_data(tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(APP + FORKING)
    done = programs.run(tmp_path, "program.py", "SQLiteTrigger")
    assert done.returncode == 0, done.stderr
    assert sorted(done.stdout.splitlines()) == sorted(
        [
            *(f"by the parent, {when}" for when in ("before", "after")),
            *(f"by the parent's loop, {when}" for when in ("before", "after")),
            *(f"by child {number}, {how}" for number in range(3) for how in ("through app.sync", "on a loop")),
        ]
    )


FORKING_TASK = """
import os

@app.task
def fork_and_emit() -> int:
    child = os.fork()
    if child == 0:
        app.sync.emit_event("by the forked child")
        os._exit(0)
    return os.waitpid(child, 0)[1]

async def main():
    async with app, app.runner():
        assert await (await fork_and_emit()).result(timeout=60) == 0
    async with app.history() as history:
        print(*[event.event_code for event in await history.events()])

asyncio.run(main())
"""


def test_a_def_task_that_forks_may_emit_in_its_child(tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(APP + FORKING_TASK)
    done = programs.run(tmp_path, "program.py", "SQLiteTrigger")
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "by the forked child"


FORKED_HOST = """
import os

async def use():
    async with app, app.runner():
        async with app:
            await app.emit_event("a")
        assert await (await double(4)).result(timeout=60) == 8

app.sync.emit_event("by the parent, before")
child = os.fork()
if child == 0:
    asyncio.run(use())
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
asyncio.run(use())
"""


@pytest.mark.parametrize("trigger_cls", ["MemTrigger", "SQLiteTrigger"])
def test_a_runner_in_a_forked_child_keeps_its_connection(tmp_path: Path, trigger_cls: str) -> None:
    (tmp_path / "program.py").write_text(APP + FORKED_HOST)
    done = programs.run(tmp_path, "program.py", trigger_cls)
    assert done.returncode == 0, done.stderr
