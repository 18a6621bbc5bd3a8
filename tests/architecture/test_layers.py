"""Imports point one way, as `[tool.importlinter]` in pyproject.toml says."""

import ast
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.architecture.source_tree import PACKAGE, ROOT, name, python_files

CONFIG = ROOT / "pyproject.toml"
LINT = "from importlinter.cli import lint_imports_command; lint_imports_command()"


def lint_imports(folder: Path) -> subprocess.CompletedProcess[str]:
    """Runs the project's contracts on the package `trigger_engine` that lies in this folder."""
    return subprocess.run(
        [sys.executable, "-c", LINT, "--config", str(CONFIG), "--no-cache", "--no-logo"],
        cwd=folder,
        env={
            **os.environ,
            "PYTHONSAFEPATH": "",
            "PYTHONPATH": str(folder),
            "COLUMNS": "200",
            "PYTHONIOENCODING": "utf-8",
        },
        capture_output=True,
        encoding="utf-8",
        check=False,
        timeout=100,
    )


def write_package(folder: Path, modules: dict[str, str]) -> None:
    """A sample `trigger_engine`; every folder in it becomes a package."""
    for path, source in {"__init__.py": "", **modules}.items():
        file = folder / "trigger_engine" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        (file.parent / "__init__.py").touch()
        file.write_text(source, encoding="utf-8")


def test_imports_point_one_way() -> None:
    done = lint_imports(ROOT)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("modules", "what"),
    [
        pytest.param(
            {"core/matcher.py": "import trigger_engine.log.contract\n", "log/contract.py": ""},
            "trigger_engine.core is not allowed to import trigger_engine.log",
            id="core imports log",
        ),
        pytest.param(
            {"log/memory.py": "def f():\n    from trigger_engine import app\n", "app.py": ""},
            "trigger_engine.log is not allowed to import trigger_engine.app",
            id="log imports app inside a function",
        ),
        pytest.param(
            {"runner/leader.py": "from trigger_engine.history.fold import f\n", "history/fold.py": "f = 1\n"},
            "trigger_engine.runner is not allowed to import trigger_engine.history",
            id="runner imports history",
        ),
        pytest.param(
            {"core/matcher.py": "import trigger_engine\n", "__init__.py": "import trigger_engine.app\n", "app.py": ""},
            "trigger_engine.core is not allowed to import trigger_engine.app",
            id="core imports app through the package",
        ),
        pytest.param(
            {"core/matcher.py": "", "helpers.py": ""},
            "- trigger_engine.helpers",
            id="a module without a place",
        ),
        pytest.param(
            {"runner/worker.py": "import pytest\n"},
            "trigger_engine is not allowed to import pytest",
            id="runner imports pytest",
        ),
    ],
)
def test_the_contracts_break_on(modules: dict[str, str], what: str, tmp_path: Path) -> None:
    write_package(tmp_path, modules)
    done = lint_imports(tmp_path)
    assert done.returncode == 1, done.stdout + done.stderr
    assert what in done.stdout


def test_the_contracts_let_the_arrow_pass(tmp_path: Path) -> None:
    write_package(
        tmp_path,
        {
            "__init__.py": "from trigger_engine import app, errors\n",
            "__main__.py": "from trigger_engine.cli import main\n",
            "cli/main.py": "import trigger_engine.monitor, trigger_engine.history, trigger_engine.runner\n",
            "monitor/pages.py": "import trigger_engine.history\n",
            "testing/engine.py": "import pytest, trigger_engine.runner, trigger_engine.app\n",
            "history/fold.py": "import trigger_engine.app\n",
            "runner/leader.py": "import trigger_engine.app\n",
            "app.py": "import trigger_engine.config, trigger_engine.log\ndef f():\n    import trigger_engine.runner\n",
            "config.py": "import trigger_engine.core\n",
            "log/memory.py": "import trigger_engine.core, trigger_engine.entries, trigger_engine.errors\n",
            "core/matcher.py": "import trigger_engine.entries\n",
            "entries/facts.py": "import trigger_engine.errors\n",
            "errors.py": "",
        },
    )
    done = lint_imports(tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr


def test_what_app_builds_for_its_callers_is_imported_inside_functions() -> None:
    found = [
        f"{name(path)}:{line}: {target}"
        for path in python_files("trigger_engine")
        for line, target in imports_at_the_top(ast.parse(path.read_text(encoding="utf-8")))
        if is_exempt(module_name(path), target)
    ]
    assert not found, "\n".join(["import these inside the function that needs them", *found])


def test_the_checker_tells_imports_at_the_top_from_others() -> None:
    source = """
from typing import TYPE_CHECKING
import trigger_engine.runner.worker
try:
    from trigger_engine import history
except ImportError:
    pass
if TYPE_CHECKING:
    import trigger_engine.history.fold
def f():
    import trigger_engine.runner.leader
"""
    found = [target for _, target in imports_at_the_top(ast.parse(source)) if is_exempt("trigger_engine.app", target)]
    assert found == ["trigger_engine.runner.worker", "trigger_engine.history"]


def exempt_patterns() -> Iterator[re.Pattern[str]]:
    contracts = tomllib.loads(CONFIG.read_text(encoding="utf-8"))["tool"]["importlinter"]["contracts"]
    for contract in contracts:
        if contract["id"] == "layers":
            for expression in contract.get("ignore_imports", []):
                pattern = re.escape(expression).replace(r"\ ", " ").replace(r"\*\*", ".+").replace(r"\*", "[^.]+")
                yield re.compile(pattern.replace(r"\-", "-"))


def is_exempt(importer: str, imported: str) -> bool:
    return any(pattern.fullmatch(f"{importer} -> {imported}") for pattern in exempt_patterns())


def module_name(path: Path) -> str:
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports_at_the_top(node: ast.AST) -> Iterator[tuple[int, str]]:
    """Line and module of every import that happens with the module's own."""
    for child in ast.iter_child_nodes(node):
        match child:
            case ast.Import():
                yield from ((child.lineno, alias.name) for alias in child.names)
            case ast.ImportFrom(module=str(module)):
                targets = (
                    [f"{module}.{alias.name}" for alias in child.names] if module == "trigger_engine" else [module]
                )
                yield from ((child.lineno, target) for target in targets)
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.If(test=ast.Name(id="TYPE_CHECKING")):
                pass
            case _:
                yield from imports_at_the_top(child)
