"""The program as a whole: help, exit codes, and error messages."""

import asyncio
import os
import signal
import subprocess
import sys

import pytest

from tests.integration.cli.conftest import Invoke, Start, Write
from tests.support.project import ROOT
from trigger_engine import Event, TriggerEngine
from trigger_engine._cli.app_loading import load_app
from trigger_engine._cli.main import COMMANDS


def test_help_lists_every_command_with_its_purpose(invoke: Invoke) -> None:
    result = invoke("--help")
    assert result.exit_code == 0
    for name, purpose in COMMANDS.items():
        assert f"{name} " in result.output
        assert purpose[:40] in result.output


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_has_help(invoke: Invoke, name: str) -> None:
    result = invoke(name, "--help")
    assert result.exit_code == 0
    assert f"Usage: trigger-engine {name}" in result.output


@pytest.mark.parametrize("arguments", [["--help"], ["run", "--help"], ["invocations", "list", "--help"]])
def test_help_fits_a_narrow_terminal(start: Start, arguments: list[str]) -> None:
    program = start(*arguments, COLUMNS="60")
    assert program.wait() == 0
    assert 40 < max(map(len, program.lines)) <= 60


def test_help_imports_no_slow_modules() -> None:
    program = (
        "import sys, trigger_engine; known = set(sys.modules)\n"
        "from trigger_engine._cli.main import app\n"
        "try: app(['--help'])\n"
        "except SystemExit: print(*sorted({n.partition('.')[0] for n in set(sys.modules) - known}), file=sys.stderr)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    heavy = {"pydantic", "rich", "aiosqlite", "sqlite3", "uvloop", "watchfiles", "platformdirs"}
    assert not heavy & set(done.stderr.split())


def test_version_is_shown(invoke: Invoke, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.metadata.version", lambda name: "1.2.3")
    assert invoke("--version").output == "trigger-engine 1.2.3\n"


@pytest.mark.parametrize(
    "arguments",
    [
        ["nothing"],
        ["run", "--concurrency", "no"],
        ["run", "--unknown"],
        ["events", "--limit", "-1"],
        ["emit"],
        ["explain"],
    ],
)
def test_invalid_arguments_exit_with_2(invoke: Invoke, arguments: list[str]) -> None:
    result = invoke(*arguments)
    assert result.exit_code == 2
    assert "Error: " in result.stderr


@pytest.mark.usefixtures("shop")
def test_engine_error_is_one_message_and_exits_with_1(invoke: Invoke) -> None:
    result = invoke("emit", "shop:ap", "user.login")
    assert result.exit_code == 1
    assert result.stdout == ""
    assert result.stderr == "Error: shop has no 'ap', did you mean 'app'?\n"


def test_invalid_declaration_is_a_message_with_its_line(invoke: Invoke, write: Write) -> None:
    write(
        "wrong.py",
        "from trigger_engine import TriggerBuilder, TriggerEngine\n"
        "app = TriggerEngine()\n"
        "builder = TriggerBuilder().on_event('x', payload_filter=lambda payload: True)\n",
    )
    result = invoke("emit", "wrong:app", "x")
    assert result.exit_code == 1
    assert "Traceback" not in result.stderr
    assert "a lambda has no name in its module; write a named function at module level" in result.stderr
    assert "  at wrong.py:3: builder = TriggerBuilder()" in result.stderr


def test_error_in_user_code_shows_only_frames_of_user_code(invoke: Invoke, write: Write) -> None:
    write("inner.py", "def work():\n    raise KeyError('a')\n")
    write(
        "broken.py",
        "import inner\ntry:\n    inner.work()\nexcept KeyError as exc:\n    raise RuntimeError('no') from exc\n",
    )
    result = invoke("emit", "broken:app", "x")
    assert result.exit_code == 1
    files = [line.split('"')[1] for line in result.stderr.splitlines() if line.startswith("  File")]
    assert [os.path.basename(file) for file in files] == ["broken.py", "inner.py", "broken.py"]
    assert "KeyError: 'a'" in result.stderr
    assert "RuntimeError: no" in result.stderr
    assert result.stderr.endswith("Error: importing broken raised RuntimeError: fix the error and try again\n")


@pytest.mark.usefixtures("shop")
@pytest.mark.parametrize("options", ["--json", ""])
def test_closed_pipe_ends_a_command_quietly(options: str) -> None:
    async def emit_many(app: TriggerEngine) -> None:
        async with app:
            await app.emit_events([Event("user.login", {"filling": "x" * 100}) for _ in range(2000)])

    asyncio.run(emit_many(load_app("shop:app")))
    command = f"{sys.executable} -m trigger_engine events shop:app --limit 0 {options}"
    done = subprocess.run(
        ["bash", "-c", f"{command} | head -n 2; echo ${{PIPESTATUS[0]}}"],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr == ""
    assert len(done.stdout.splitlines()) == 3
    assert done.stdout.endswith("\n0\n")


def test_ctrl_c_ends_a_command_without_a_traceback(start: Start, write: Write) -> None:
    write("slow.py", "import time\nprint('importing', flush=True)\ntime.sleep(60)\n")
    program = start("events", "slow:app")
    program.wait_for("importing")
    program.send(signal.SIGINT)
    assert program.wait() == 130
    assert "Traceback" not in program.text
