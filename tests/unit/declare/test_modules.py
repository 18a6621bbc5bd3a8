"""A module has one name: imported, run as a script, run with -m, loaded by path, or imported by a spawned child."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.project import ROOT
from trigger_engine._declare.modules import module_name_of

TASKS = """
from trigger_engine._declare.modules import alias_main, import_module, load_app_module, module_name_of
print("importing as", __name__)

def task(): ...

if __name__ == "__main__":
    print("alias", alias_main())
print("name", module_name_of(task))
"""


def run(folder: Path, *arguments: str, **environment: str) -> list[str]:
    """Runs a Python program in a folder and returns the lines that it prints."""
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONSAFEPATH": "", **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def write(folder: Path, files: dict[str, str]) -> None:
    for name, source in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(source, encoding="utf-8")


LOADS = "from trigger_engine._declare.modules import load_app_module; load_app_module({!r})"


def test_imported_function_has_the_name_of_its_module() -> None:
    assert module_name_of(run) == __name__


@pytest.mark.parametrize(
    ("layout", "file", "name"),
    [
        ({}, "tasks.py", "tasks"),
        ({}, "jobs/tasks.py", "tasks"),
        ({"pkg/__init__.py": ""}, "pkg/tasks.py", "pkg.tasks"),
        ({"src/pkg/__init__.py": "", "src/pkg/sub/__init__.py": ""}, "src/pkg/sub/tasks.py", "pkg.sub.tasks"),
        ({}, "pkg/__init__.py", "pkg"),
        ({}, "my-tasks.py", "my-tasks"),
    ],
)
def test_file_has_the_same_name_however_it_is_started(
    layout: dict[str, str], file: str, name: str, tmp_path: Path
) -> None:
    write(tmp_path, {**layout, file: TASKS})
    start = (tmp_path / file.removesuffix("/__init__.py")).parents[name.count(".")]
    imported = run(start, "-c", f"import importlib; importlib.import_module({name!r})")
    assert imported == [f"importing as {name}", f"name {name}"]
    assert run(tmp_path, file) == ["importing as __main__", f"alias {name}", f"name {name}"]
    assert run(tmp_path, "-c", LOADS.format(file)) == imported
    assert run(start, "-c", LOADS.format(name)) == imported


def test_module_run_with_dash_m_has_its_dotted_name(tmp_path: Path) -> None:
    write(tmp_path, {"pkg/__init__.py": "", "pkg/tasks.py": TASKS})
    assert run(tmp_path, "-m", "pkg.tasks")[1:] == ["alias pkg.tasks", "name pkg.tasks"]


@pytest.mark.parametrize(
    ("layout", "file", "name"),
    [
        ({}, "tasks.py", "tasks"),
        ({"pkg/__init__.py": ""}, "pkg/tasks.py", "pkg.tasks"),
        ({"pkg/__init__.py": "from pkg import tasks\n"}, "pkg/tasks.py", "pkg.tasks"),
    ],
)
def test_main_program_is_never_imported_twice(layout: dict[str, str], file: str, name: str, tmp_path: Path) -> None:
    package, _, child = name.rpartition(".")
    again = f"from {package} import {child} as second" if package else f"import {child} as second"
    program = f"""{TASKS}
if __name__ == "__main__":
    {again}
    import sys, {name}
    main = sys.modules["__main__"]
    print(second is main, sys.modules[{name!r}] is main, import_module({name!r}) is main)
    print(load_app_module(__file__) is main)
"""
    write(tmp_path, {**layout, file: program})
    assert run(tmp_path, file) == ["importing as __main__", f"alias {name}", f"name {name}", "True True True", "True"]


def test_main_program_is_recognised_under_a_name_of_a_namespace_package(tmp_path: Path) -> None:
    program = f"""{TASKS}
import sys
if __name__ == "__main__":
    print(import_module("jobs.tasks") is sys.modules["__main__"])
"""
    write(tmp_path, {"jobs/tasks.py": program})
    assert run(tmp_path, "jobs/tasks.py", PYTHONPATH=f"{ROOT}{os.pathsep}{tmp_path}")[-1] == "True"


def test_loaded_app_module_is_not_loaded_again(tmp_path: Path) -> None:
    write(tmp_path, {"jobs/tasks.py": TASKS})
    program = (
        f"import jobs.tasks; {LOADS.format('jobs/tasks.py')}; print(load_app_module('jobs/tasks.py') is jobs.tasks)"
    )
    assert run(tmp_path, "-c", program) == ["importing as jobs.tasks", "name jobs.tasks", "True"]


def test_spawned_child_gives_the_same_names_and_imports_nothing_twice(tmp_path: Path) -> None:
    program = """
import multiprocessing
import sys
from trigger_engine._declare.modules import import_module, module_name_of

def task():
    print(import_module(module_name_of(task)) is sys.modules["__main__"])

print(__name__, module_name_of(task), flush=True)

if __name__ == "__main__":
    child = multiprocessing.get_context("spawn").Process(target=task)
    child.start()
    child.join()
"""
    write(tmp_path, {"tasks.py": program, "pkg/__init__.py": "", "pkg/tasks.py": program})
    assert run(tmp_path, "tasks.py") == ["__main__ tasks", "__mp_main__ tasks", "True"]
    assert run(tmp_path, "pkg/tasks.py") == ["__main__ pkg.tasks", "__mp_main__ pkg.tasks", "True"]
    assert run(tmp_path, "-m", "pkg.tasks") == ["__main__ pkg.tasks", "__mp_main__ pkg.tasks", "True"]


def test_module_of_an_interactive_session_is_main(tmp_path: Path) -> None:
    program = "from trigger_engine._declare.modules import *; f = lambda: 1; print(alias_main(), module_name_of(f))"
    assert run(tmp_path, "-c", program) == ["__main__ __main__"]


def test_script_does_not_replace_a_module_with_the_same_name(tmp_path: Path) -> None:
    write(tmp_path, {"json.py": "import sys\nsys.path.pop(0)\nimport json\n" + TASKS.replace("import_module,", "")})
    lines = run(tmp_path, "json.py")
    assert lines[1:] == ["alias __main__", "name json"]


@pytest.mark.parametrize(
    ("target", "what", "fix"),
    [
        (
            "nowhere.py",
            "there is no file {folder}/nowhere.py",
            "which is relative to the current folder",
        ),
        (
            "nowhere",
            "there is no module 'nowhere' in {folder}",
            "check the spelling, change to the folder",
        ),
        ("pkg.nowhere", "there is no module 'pkg.nowhere'", "give the path of the file"),
        ("", "'' is not a module name", "write it like pkg.tasks"),
        ("json.py", "json.py cannot be imported as 'json', because", "rename the file"),
    ],
)
def test_missing_app_module_is_refused_with_the_fix(target: str, what: str, fix: str, tmp_path: Path) -> None:
    folder = tmp_path.resolve()
    write(folder, {"pkg/__init__.py": "", "json.py": "", "broken.py": "import nowhere_else"})
    program = f"""
import sys
sys.path.remove("")
import json
from trigger_engine.errors import ConfigError
from trigger_engine._declare.modules import load_app_module
try:
    load_app_module({target!r})
except ConfigError as exc:
    print(exc)
"""
    (line,) = run(folder, "-c", program)
    assert what.format(folder=folder) in line
    assert fix in line


def test_errors_of_a_module_are_passed_through(tmp_path: Path) -> None:
    write(tmp_path, {"broken.py": "import nowhere_else"})
    program = """
from trigger_engine._declare.modules import load_app_module
for target in ("broken", "broken.py"):
    try:
        load_app_module(target)
    except ModuleNotFoundError as exc:
        print(exc.name)
"""
    assert run(tmp_path, "-c", program) == ["nowhere_else", "nowhere_else"]
