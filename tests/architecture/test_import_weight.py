"""What only some programs need is not imported with the package: every start of every program would pay for it."""

import subprocess
import sys

import pytest

from tests.support.project import ROOT

HEAVY = (
    "aiosqlite",
    "anyio",
    "croniter",
    "difflib",
    "importlib.metadata",
    "platformdirs",
    "rich",
    "sqlite3",
    "typer",
    "trigger_engine._readmodel.history",
    "trigger_engine._runtime.runner",
)


@pytest.fixture(scope="module")
def imported() -> set[str]:
    program = "import sys, trigger_engine; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    return set(done.stdout.split())


@pytest.mark.parametrize("module", HEAVY)
def test_importing_the_package_does_not_import(module: str, imported: set[str]) -> None:
    assert "trigger_engine._app.app" in imported
    assert module not in imported
