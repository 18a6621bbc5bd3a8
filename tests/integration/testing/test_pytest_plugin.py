"""The fixture `trigger_engine_test`, in a pytest of its own."""

import subprocess
import sys
from pathlib import Path

from tests.support.project import ROOT

TESTS = """
import pytest_asyncio

from trigger_engine import TriggerEngine

app = TriggerEngine(app_id="shop", trigger_cls="MemTrigger")


@app.task
async def double(x: int) -> int:
    return 2 * x


@pytest_asyncio.fixture
async def engine(trigger_engine_test):
    async with trigger_engine_test(app) as engine:
        yield engine


async def test_by_hand(trigger_engine_test):
    async with trigger_engine_test(app, patience=0.1) as engine:
        await double(1)
        await engine.run_until_idle()
        assert engine.calls(double) == [{"x": 1}]


async def test_through_a_fixture(engine):
    await double(2)
    await engine.run_until_idle()
    assert engine.calls(double) == [{"x": 2}]


async def test_again(engine):
    assert engine.calls(double) == []


async def test_app_on_the_loop_of_this_test():
    async with app, app.runner():
        assert await (await double(3)).result(timeout=60) == 6


async def test_app_on_another_loop():
    invocation = await double(4)
    async with app.runner():
        assert await invocation.result(timeout=60) == 8
"""


def test_the_plugins_fixture_makes_engines(tmp_path: Path) -> None:
    (tmp_path / "test_shop.py").write_text(TESTS)
    (tmp_path / "pytest.ini").write_text(
        "[pytest]\nasyncio_mode = auto\nasyncio_default_fixture_loop_scope = function\nfilterwarnings = error\n"
    )
    options = ["-q", "-p", "no:cacheprovider", "--rootdir", str(tmp_path), "-c", str(tmp_path / "pytest.ini")]
    program = (
        "import sys, pytest\n"
        "from importlib.metadata import entry_points\n"
        "plugins = []\n"
        "if 'trigger_engine' not in entry_points(group='pytest11').names:\n"
        "    from trigger_engine.testing import pytest_plugin\n"
        "    plugins = [pytest_plugin]\n"
        f"sys.exit(pytest.main({[*options, str(tmp_path)]!r}, plugins=plugins))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    assert "5 passed" in done.stdout, done.stdout + done.stderr
