"""`trigger-engine run`, as processes."""

import json
import os
import re
import signal
from pathlib import Path

import pytest

from tests.integration.cli.conftest import SHOP, Start, Write, on_shared_backends
from tests.integration.cli.data import emit
from tests.integration.cli.program import Program
from tests.support.programs import is_alive
from tests.support.project import ROOT
from tests.support.waiting import wait_until_true

pytestmark = pytest.mark.usefixtures("shop")

UP = r"runner:([0-9a-f]{32}) is up"
STARTS = r"process (\d+) started"


def pids_of(program: Program, count: int) -> list[int]:
    """Returns the processes of a supervisor after all of them are up."""
    found = [int(program.wait_for(STARTS)[1])]
    program.wait_for(UP)
    found += [int(program.wait_for(STARTS)[1]) for _ in range(count - 1)]
    for _ in range(count - 1):
        program.wait_for(UP)
    return found


@on_shared_backends
def test_tasks_log_with_their_ids(start: Start) -> None:
    program = start("run", "shop:app")
    program.wait_for(UP)
    emit("shop:app", "user.login", {"role": "admin"})
    program.wait_for(r"shop: an admin is here invocation:[0-9a-f]{32} trigger-run:[0-9a-f]{32}$")


def test_logs_can_be_json(start: Start) -> None:
    emit("shop:app", "user.login", {"role": "admin"})
    program = start("run", "shop:app", "--log-format", "json")
    program.wait_for('"message": "an admin is here"')
    found = json.loads(program.lines[-1])
    assert found["task"] == "shop.notify"
    assert found["tokens"] == [f"invocation:{found['invocation']}", f"trigger-run:{found['trigger_run']}"]


@on_shared_backends
def test_tasks_in_child_processes_log_with_their_ids(start: Start, write: Write) -> None:
    write(
        "shop.py",
        SHOP.replace("async def notify", "def notify").replace("@app.task(", "@app.task(run_in='process', ", 1),
    )
    emit("shop:app", "user.login", {"role": "admin"})
    program = start("run", "shop:app")
    program.wait_for(r"INFO    shop: an admin is here invocation:[0-9a-f]{32} trigger-run:[0-9a-f]{32}$")


def test_log_level_is_the_lowest_logged(start: Start, write: Write) -> None:
    write("shop.py", SHOP.replace("logger.info", "logger.warning"))
    emit("shop:app", "user.login", {"role": "admin"})
    program = start("run", "shop:app", "--log-level", "warning")
    program.wait_for("WARNING shop: an admin is here")
    assert len(program.lines) == 1


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signal_stops_the_runner_with_0(start: Start, number: signal.Signals) -> None:
    program = start("run", "shop:app")
    program.wait_for(UP)
    program.send(number)
    assert program.wait() == 0
    assert "Traceback" not in program.text
    assert "has stopped" in program.lines[-1]


def test_concurrency_and_queues_override_the_configuration(start: Start, write: Write) -> None:
    code = """
import contextlib

@contextlib.asynccontextmanager
async def lifespan(app):
    print("settings", app._internals.settings.concurrency, app._internals.settings.queues, flush=True)
    yield

app.lifespan = lifespan
"""
    write("shop.py", SHOP + code)
    program = start("run", "shop:app", "--concurrency", "3", "--queue", "slow", "--queue", "mail")
    assert program.wait_for("^settings (.*)$")[1] == "3 ('slow', 'mail')"
    program.send(signal.SIGTERM)
    program.wait()
    several = start("run", "shop:app", "--concurrency", "3", "--queue", "slow", "--processes", "2")
    for _ in range(2):
        assert several.wait_for("^settings (.*)$")[1] == "3 ('slow',)"


def test_app_that_cannot_be_loaded_exits_with_1(start: Start, write: Write) -> None:
    write("broken.py", "1 / 0\n")
    for options in ([], ["--processes", "3"]):
        program = start("run", "broken:app", *options)
        assert program.wait() == 1
        assert program.text.count("Error: importing broken raised ZeroDivisionError") == 1


def test_memory_with_several_processes_is_rejected(start: Start) -> None:
    program = start("run", "shop:app", "--processes", "2", TRIGGER_ENGINE__TRIGGER_CLS="MemTrigger")
    assert program.wait() == 1
    assert "Error: --processes 2 needs data that several processes share" in program.text
    assert 'set trigger_cls = "SQLiteTrigger"' in program.text


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signals_reach_every_process(start: Start, number: signal.Signals) -> None:
    program = start("run", "shop:app", "--processes", "2")
    pids = pids_of(program, 2)
    program.send(number)
    assert program.wait() == 0
    assert program.text.count("has stopped") == 2
    assert "restarting" not in program.text
    assert not any(map(is_alive, pids))


@on_shared_backends
def test_dead_process_is_restarted(start: Start) -> None:
    program = start("run", "shop:app", "--processes", "2")
    pids = pids_of(program, 2)
    os.kill(pids[1], signal.SIGKILL)
    program.wait_for(rf"process {pids[1]} was killed by SIGKILL, restarting in 1 s")
    fresh = int(program.wait_for(STARTS)[1])
    program.wait_for(UP)
    assert fresh not in pids
    emit("shop:app", "user.login", {"role": "admin"})
    program.wait_for("an admin is here")
    program.send(signal.SIGTERM)
    assert program.wait() == 0


def test_process_stopped_by_a_signal_is_replaced_at_once(start: Start) -> None:
    program = start("run", "shop:app", "--processes", "2")
    pids = pids_of(program, 2)
    os.kill(pids[0], signal.SIGTERM)
    program.wait_for(rf"process {pids[0]} has stopped, starting another")
    program.wait_for(UP)


def test_processes_stop_when_their_supervisor_is_killed(start: Start) -> None:
    program = start("run", "shop:app", "--processes", "2")
    pids = pids_of(program, 2)
    program.send(signal.SIGKILL)
    program.wait_for("the supervisor is gone: stopping")
    program.wait_for("the supervisor is gone: stopping")
    wait_until_true(lambda: not any(map(is_alive, pids)))


SLOW = """
import asyncio

@app.task(triggers=TriggerBuilder().on_event("sleep"))
async def sleep() -> None:
    print("asleep", flush=True)
    await asyncio.sleep(60)
"""


def test_second_signal_does_not_wait_for_tasks(start: Start, write: Write) -> None:
    write("shop.py", SHOP + SLOW)
    program = start("run", "shop:app", "--processes", "2", TRIGGER_ENGINE__SHUTDOWN_TIMEOUT="60")
    pids_of(program, 2)
    emit("shop:app", "sleep")
    program.wait_for("asleep")
    program.send(signal.SIGINT)
    for _ in range(2):
        program.wait_for("SIGINT: stopping")
    program.send(signal.SIGINT)
    assert program.wait() == 0
    assert "SIGINT again: stopping without waiting for tasks" in program.text


STUCK = """
import asyncio
import contextlib

@contextlib.asynccontextmanager
async def lifespan(app):
    yield
    await asyncio.sleep(60)

app.lifespan = lifespan
"""


def test_third_signal_kills_the_processes(start: Start, write: Write) -> None:
    write("shop.py", SHOP + STUCK)
    program = start("run", "shop:app", "--processes", "2")
    pids = pids_of(program, 2)
    for name in ("SIGTERM", "SIGTERM", "SIGKILL"):
        program.send(signal.SIGTERM)
        program.wait_for(f"{name}: forwarded to the runner processes")
    assert program.wait() == 1
    assert not any(map(is_alive, pids))


@pytest.mark.parametrize("watcher", ["watchfiles", "polling"])
def test_reload_restarts_when_the_code_changes(start: Start, write: Write, folder: Path, watcher: str) -> None:
    write("without/watchfiles.py", "raise ImportError('not installed')\n")
    path = [str(ROOT)] if watcher == "watchfiles" else [str(folder / "without"), str(ROOT)]
    program = start("run", "shop:app", "--reload", PYTHONPATH=os.pathsep.join(path))
    program.wait_for(UP)
    write("shop.py", SHOP.replace("an admin is here", "welcome"))
    program.wait_for("shop.py has changed: restarting")
    program.wait_for(UP)
    emit("shop:app", "user.login", {"role": "admin"})
    program.wait_for("shop: welcome")
    program.send(signal.SIGINT)
    assert program.wait() == 0


def test_reload_waits_for_a_change_when_the_code_is_broken(start: Start, write: Write) -> None:
    write("shop.py", "def (:\n")
    program = start("run", "shop:app", "--reload")
    program.wait_for("Error: importing shop raised SyntaxError")
    program.wait_for("did not start: waiting for a code change")
    write("shop.py", SHOP)
    program.wait_for(UP)
    assert re.search("shop.py has changed", program.text)
    program.send(signal.SIGTERM)
    assert program.wait() == 0
