"""Every code block of the README and of docs/ runs, and says what the page says it says."""

from __future__ import annotations

import ast
import asyncio
import contextlib
import inspect
import io
import os
import subprocess
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.integration.docs.pages import Block, blocks, groups, pages
from tests.support.project import ROOT
from trigger_engine._config.loading import load_config

# Pages that show one call at a time, without its imports.
PREAMBLES = {"configuration.md": "from trigger_engine import TriggerEngine, TriggerEngineBuilder\n"}
PATIENCE = 30.0
PYTEST_INI = "[pytest]\nasyncio_mode = auto\nasyncio_default_fixture_loop_scope = function\nfilterwarnings = error\n"


def _named(block: Block) -> str:
    return f"{block.page}:{block.line}"


GROUPS = [pytest.param(group, id=_named(group[0])) for page in pages() for group in groups(page)]
CONFIGURATIONS = [
    pytest.param(block, id=_named(block)) for page in pages() for block in blocks(page) if block.language == "toml"
]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty current folder, with nothing of it left imported afterwards."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for name in [name for name in os.environ if name.startswith("TRIGGER_ENGINE_")]:
        monkeypatch.delenv(name)
    monkeypatch.syspath_prepend(str(tmp_path))
    known = set(sys.modules)
    yield tmp_path
    for name in [
        name
        for name, module in sys.modules.items()
        if name not in known and str(getattr(module, "__file__", "")).startswith(str(tmp_path))
    ]:
        del sys.modules[name]


@pytest.mark.parametrize("group", GROUPS)
def test_example_does_what_its_page_says(group: list[Block], folder: Path) -> None:
    first = group[0]
    _write_files(first, folder)
    module = ModuleType(Path(first.filename).stem)
    module.__file__ = str(folder / first.filename)
    sys.modules[module.__name__] = module
    said = ""
    for block in group:
        if "output" in block.words:
            assert said.split() == block.source.split(), f"{_named(block)}: it does not say this, but:\n{said}"
        elif "script" in block.words:
            said = _in_python(block, folder, [])
        elif "tests" in block.words:
            (folder / "pytest.ini").write_text(PYTEST_INI)
            _in_python(block, folder, ["-m", "pytest", "-q", "-p", "no:cacheprovider"])
        else:
            said = _run(block, module)


@pytest.mark.parametrize("block", CONFIGURATIONS)
def test_the_configuration_is_accepted(block: Block, folder: Path) -> None:
    (folder / "pyproject.toml").write_text(block.source, encoding="utf-8")
    assert load_config().config_file == folder / "pyproject.toml"


def _write_files(first: Block, folder: Path) -> None:
    """The files that the page has shown up to this block."""
    page = next(page for page in pages() if page.name == first.page)
    for block in blocks(page):
        if block.line <= first.line and block.value("file") is not None:
            path = folder / block.filename
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(block.source, encoding="utf-8")


def _run(block: Block, module: ModuleType) -> str:
    """Runs a block in its module; returns what it printed, or the message that it raised."""
    # The line numbers of a traceback are those of the page.
    source = "\n" * (block.line - 1) + block.source
    tree = compile(source, block.page, "exec", flags=ast.PyCF_ONLY_AST | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    code = compile(tree, block.page, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)
    exec(PREAMBLES.get(block.page, ""), vars(module))
    printed = io.StringIO()
    wanted = block.value("raises")
    with contextlib.redirect_stdout(printed):
        try:
            if code.co_flags & inspect.CO_COROUTINE:
                asyncio.run(_awaited(code, module, running="running" in block.words))
            else:
                exec(code, vars(module))
        except Exception as exc:
            if type(exc).__name__ != wanted:
                raise
            return str(exc)
    assert wanted is None, f"{_named(block)}: {wanted} was not raised"
    return printed.getvalue()


async def _awaited(code: Any, module: ModuleType, *, running: bool) -> None:
    async with asyncio.timeout(PATIENCE), contextlib.AsyncExitStack() as stack:
        if running:
            app = getattr(module, "app", None) or import_module("tasks").app
            await stack.enter_async_context(app.runner())
        await eval(code, vars(module))


def _in_python(block: Block, folder: Path, options: list[str]) -> str:
    """Saves a block and runs it in a Python of its own; returns what it printed."""
    (folder / block.filename).write_text(block.source, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-W", "error", *options, block.filename],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), str(folder)])},
        capture_output=True,
        text=True,
        timeout=PATIENCE * 2,
        check=False,
    )
    assert done.returncode == 0, f"{_named(block)}:\n{done.stdout}{done.stderr}"
    return done.stdout
