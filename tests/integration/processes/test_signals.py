"""`app.run()` in a process of its own: signals, and the end of its child processes."""

import json
import os
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.support import programs
from tests.support.waiting import wait_until_true

TASKS = """
import asyncio, logging, os, sys, time
from pathlib import Path
from trigger_engine import TriggerEngine

app = TriggerEngine(
    shutdown_timeout=float(os.environ.get("PATIENCE", "20")),
    heartbeat_interval=0.2, heartbeat_ttl=1.0, lease_ttl=1.0, process_workers=2,
)

@app.task
async def wait_for(file: str) -> str:
    Path(file + ".begun").write_text("begun")
    while not Path(file).exists():
        await asyncio.sleep(0.01)
    return "done"

@app.task(run_in="process")
def hang_in_child(file: str) -> None:
    Path(file).write_text(str(os.getpid()))
    while True:
        time.sleep(0.01)

async def main() -> None:
    async with app:
        await app.run()

if __name__ == "__main__":
    logging.basicConfig(level="INFO")
    asyncio.run(main())
"""
CALL = """
import asyncio, json, sys
import tasks

async def main() -> None:
    async with tasks.app as app:
        command, *arguments = sys.argv[1:]
        if command == "call":
            name, argument = arguments
            print((await getattr(tasks, name)(argument)).invocation_id)
        else:
            found = await app.invocation(arguments[0])
            print(json.dumps({"status": str(await found.status())}))

asyncio.run(main())
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "tasks.py").write_text(TASKS)
    (tmp_path / "call.py").write_text(CALL)
    return tmp_path


def call(folder: Path, name: str, argument: Path) -> str:
    done = programs.run(folder, "call.py", "call", name, str(argument))
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def status(folder: Path, invocation_id: str) -> Any:
    done = programs.run(folder, "call.py", "status", invocation_id)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)["status"]


def exit_code(process: subprocess.Popen[str]) -> int:
    return process.wait(timeout=60)


def test_sigterm_lets_tasks_finish(folder: Path) -> None:
    gate = folder / "gate"
    with programs.started(folder, "tasks.py") as runner:
        invocation_id = call(folder, "wait_for", gate)
        wait_until_true((folder / "gate.begun").exists)
        late = call(folder, "wait_for", gate)
        runner.send_signal(signal.SIGTERM)
        gate.write_text("")
        assert exit_code(runner) == 0, programs.output(folder)
    assert status(folder, invocation_id) == "success"
    assert status(folder, late) in {"success", "registered"}


def test_sigterm_stops_claiming_and_hands_back_slow_tasks(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATIENCE", "0.2")
    with programs.started(folder, "tasks.py") as runner:
        invocation_id = call(folder, "wait_for", folder / "never")
        wait_until_true((folder / "never.begun").exists)
        runner.send_signal(signal.SIGTERM)
        assert exit_code(runner) == 0, programs.output(folder)
    assert status(folder, invocation_id) == "registered"


def test_second_signal_hands_back_at_once(folder: Path) -> None:
    with programs.started(folder, "tasks.py") as runner:
        invocation_id = call(folder, "wait_for", folder / "never")
        wait_until_true((folder / "never.begun").exists)
        runner.send_signal(signal.SIGINT)
        wait_until_true(lambda: "SIGINT: stopping" in programs.output(folder))
        runner.send_signal(signal.SIGINT)
        assert exit_code(runner) == 0, programs.output(folder)
    assert status(folder, invocation_id) == "registered"


def test_children_of_a_killed_runner_end_and_another_runner_takes_over(folder: Path) -> None:
    with programs.started(folder, "tasks.py") as killed:
        call(folder, "hang_in_child", folder / "pid")
        first = int(wait_until_true(lambda: (folder / "pid").exists() and (folder / "pid").read_text()))
        os.kill(killed.pid, signal.SIGKILL)
        killed.wait()
        wait_until_true(lambda: not programs.is_alive(first))
    (folder / "pid").unlink()
    with programs.started(folder, "tasks.py"):
        second = int(wait_until_true(lambda: (folder / "pid").exists() and (folder / "pid").read_text()))
        assert programs.is_alive(second)
        assert second != first
