"""The audit decides nothing with the code that it checks."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.architecture.source_tree import name, python_files

ENGINE = frozenset({"lifecycle", "contexts"})
FILES = python_files("trigger_engine/_audit")
OTHERS = frozenset({"_app", "_audit", "_model", "errors"})


def foreign_imports(source: str) -> list[str]:
    """What a source imports of this package and must not, if it is to be independent."""
    return [module for module in imported(ast.parse(source)) if not is_independent(module)]


def imported(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            module = node.module or ""
            shallow = module in {"trigger_engine", "trigger_engine._engine", "trigger_engine.backend"}
            yield from (f"{module}.{alias.name}" for alias in node.names) if shallow else (module,)


def is_independent(module: str) -> bool:
    match module.split("."):
        case ["trigger_engine", "_engine", part, *_]:
            return part in ENGINE
        case ["trigger_engine", "_declare", *rest]:
            return rest == ["user_functions"]
        case ["trigger_engine", "backend", *rest]:
            return rest == ["_contract"]
        case ["trigger_engine", part, *_]:
            return part in OTHERS
        case ["trigger_engine"]:
            return False
        case _:
            return True


def test_there_is_an_audit_to_check() -> None:
    assert len(FILES) > 5


@pytest.mark.parametrize("path", FILES, ids=name)
def test_it_imports_nothing_that_decides(path: Path) -> None:
    assert foreign_imports(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    "source",
    [
        "from trigger_engine._engine.matcher import Matcher",
        "from trigger_engine._engine import contexts, joins",
        "import trigger_engine._engine.index as index",
        "def f():\n    from trigger_engine._engine.validity import Validity",
        "from trigger_engine._engine.filters import freeze",
        "from trigger_engine.backend._append_validation import admit",
        "from trigger_engine._readmodel.projection.projector import Fold",
        "from trigger_engine._runtime.callbacks import Callbacks",
        "import trigger_engine",
    ],
)
def test_the_checker_sees(source: str) -> None:
    assert foreign_imports(source)


@pytest.mark.parametrize(
    "source",
    [
        "from trigger_engine._engine.lifecycle import move",
        "from trigger_engine._model import ids",
        "from trigger_engine._model.entries import Judged",
        "from trigger_engine.backend._contract import EventLog",
        "import heapq, msgspec",
    ],
)
def test_the_checker_lets_pass(source: str) -> None:
    assert foreign_imports(source) == []
