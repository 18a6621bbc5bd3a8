"""Nothing is unpickled or evaluated; the few places that import by name or start programs are listed, with reasons."""

from pathlib import Path

import pytest

from tests.architecture.dangers import dangers
from tests.architecture.source_tree import PACKAGE, name, python_files

IMPORTS = "imports by name"
STARTS = "starts programs"
ALLOWED: dict[str, tuple[str, str]] = {
    "trigger_engine/__init__.py": (IMPORTS, "its own modules, by a fixed list"),
    "trigger_engine/_declare/modules.py": (
        IMPORTS,
        "the one place that imports user modules: those that the user names",
    ),
    "trigger_engine/_runtime/task_modules.py": (IMPORTS, "listed modules, and those of the app's own package"),
    "trigger_engine/_runtime/worker/child.py": (IMPORTS, "the module that its parent has imported"),
    "trigger_engine/_config/plugins.py": (IMPORTS, "installed backends"),
    "trigger_engine/_cli/main.py": (IMPORTS, "a command of this program, by a fixed list"),
    "trigger_engine/_cli/module_scan.py": (IMPORTS, "finds the files of the app's package, and imports none"),
    "trigger_engine/_cli/monitor.py": (IMPORTS, "looks whether what the monitor needs is installed"),
    "trigger_engine/_cli/run.py": (IMPORTS, "uvloop"),
    "trigger_engine/_cli/reloading.py": (IMPORTS, "watchfiles"),
    "trigger_engine/_runtime/worker/processes.py": (STARTS, "this interpreter, with a fixed program"),
    "trigger_engine/_cli/supervisor.py": (STARTS, "this interpreter, with a fixed program"),
}
FILES = [path for path in python_files("trigger_engine", "backends") if "tests" not in path.parts]


def test_there_is_something_to_check() -> None:
    assert PACKAGE / "_app" / "app.py" in FILES


@pytest.mark.parametrize("path", FILES, ids=name)
def test_a_module_runs_and_loads_only_what_it_may(path: Path) -> None:
    allowed, _ = ALLOWED.get(name(path), ("", ""))
    found = [
        place
        for place in dangers(path.read_text(encoding="utf-8"), filename=name(path))
        if not allowed or not place.endswith(allowed)
    ]
    assert not found, "\n".join(["do without it, or add it to ALLOWED with the reason why that is safe", *found])


@pytest.mark.parametrize("path", ALLOWED)
def test_what_is_allowed_is_needed(path: str) -> None:
    source = (PACKAGE.parent / path).read_text(encoding="utf-8")
    assert any(place.endswith(ALLOWED[path][0]) for place in dangers(source, filename=path))


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "from pickle import loads",
        "import multiprocessing.pool",
        "from concurrent.futures import ProcessPoolExecutor",
        "eval('1')",
        "run = exec",
        "__import__('os')",
        "import importlib.util",
        "from importlib import import_module",
        "importlib.import_module('os')",
        "import os\nos.system('x')",
        "import os\nos.popen('x')",
        "import subprocess",
        "asyncio.create_subprocess_shell('x')",
        "connection.enable_load_extension(True)",
        "from xml.etree import ElementTree",
    ],
)
def test_the_checker_sees(source: str) -> None:
    assert dangers(source)


@pytest.mark.parametrize(
    "source", ["import json", "from importlib.metadata import version", "model.evaluate()", "re.compile('x')"]
)
def test_the_checker_lets_pass(source: str) -> None:
    assert not dangers(source)
