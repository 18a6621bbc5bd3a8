"""Imports point one way, as `[tool.importlinter]` in pyproject.toml says."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.project import ROOT

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
            {"_engine/matcher.py": "import trigger_engine._storage.log\n", "_storage/log.py": ""},
            "trigger_engine._engine is not allowed to import trigger_engine._storage",
            id="engine imports storage",
        ),
        pytest.param(
            {"_storage/log.py": "def f():\n    from trigger_engine import _app\n", "_app/app.py": ""},
            "trigger_engine._storage is not allowed to import trigger_engine._app",
            id="storage imports app inside a function",
        ),
        pytest.param(
            {
                "_client/task.py": "import typing\nif typing.TYPE_CHECKING:\n    import trigger_engine._app.app\n",
                "_app/app.py": "",
            },
            "trigger_engine._client is not allowed to import trigger_engine._app",
            id="client imports app for its types",
        ),
        pytest.param(
            {"_runtime/leader.py": "from trigger_engine._readmodel.fold import f\n", "_readmodel/fold.py": "f = 1\n"},
            "trigger_engine._runtime is not allowed to import trigger_engine._readmodel",
            id="runtime imports read model",
        ),
        pytest.param(
            {"_declare/specs.py": "import trigger_engine._config.loading\n", "_config/loading.py": ""},
            "trigger_engine._declare is not allowed to import trigger_engine._config",
            id="declare imports config",
        ),
        pytest.param(
            {"_engine/matcher.py": "", "_helpers.py": ""},
            "- trigger_engine._helpers",
            id="a module without a place",
        ),
        pytest.param(
            {"_runtime/worker.py": "import pytest\n"},
            "trigger_engine is not allowed to import pytest",
            id="runtime imports pytest",
        ),
    ],
)
def test_the_contracts_break_on(modules: dict[str, str], what: str, tmp_path: Path) -> None:
    write_package(tmp_path, modules)
    done = lint_imports(tmp_path)
    assert done.returncode == 1, done.stdout + done.stderr
    assert what in done.stdout


def test_the_contracts_accept_every_import_along_the_arrow(tmp_path: Path) -> None:
    write_package(
        tmp_path,
        {
            "__init__.py": "from trigger_engine import errors\nimport trigger_engine._app.app\n",
            "__main__.py": "from trigger_engine._cli import main\n",
            "_cli/main.py": "import trigger_engine.monitor, trigger_engine._runtime.leader\n",
            "monitor.py": "import trigger_engine._monitor.pages\n",
            "_monitor/pages.py": "import trigger_engine._audit.fold, trigger_engine._app.app\n",
            "testing/engine.py": "import pytest, trigger_engine._runtime.leader, trigger_engine._app.app\n",
            "_audit/fold.py": "import trigger_engine._app.app\n",
            "_app/app.py": "import trigger_engine._readmodel.fold, trigger_engine._runtime.leader\n",
            "_readmodel/fold.py": "import trigger_engine._client.task\n",
            "_runtime/leader.py": "import trigger_engine._client.task\n",
            "_client/task.py": "from trigger_engine import _config, _declare, _storage\n",
            "_config/x.py": "import trigger_engine.backend.log\n",
            "_declare/x.py": "import trigger_engine._engine.matcher\n",
            "_storage/x.py": "import trigger_engine.backend.log\n",
            "backend/log.py": "import trigger_engine._engine.matcher\n",
            "_engine/matcher.py": "import trigger_engine._model.entries\n",
            "_model/entries.py": "import trigger_engine.errors\n",
            "errors.py": "",
        },
    )
    done = lint_imports(tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
