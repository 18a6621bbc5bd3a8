"""Files and functions stay small enough to be read at once.

A ratchet: what is over a limit is listed with its size, may only shrink, and leaves the list when it fits.
"""

import ast
from collections.abc import Iterator

from tests.architecture.source_tree import name, python_files

FILE_LINES = 500
FUNCTION_LINES = 60

LONGER_FILES: dict[str, int] = {}
LONGER_FUNCTIONS: dict[str, int] = {}


def test_no_file_is_too_long() -> None:
    files = python_files("trigger_engine", "backends", "tests", "benchmarks", "examples")
    sizes = {name(path): len(path.read_text(encoding="utf-8").splitlines()) for path in files}
    assert over(sizes, FILE_LINES, LONGER_FILES) == []


def test_no_function_is_too_long() -> None:
    sizes = {
        f"{name(path)}::{function}": lines
        for path in python_files("trigger_engine", "backends")
        for function, lines in function_sizes(path.read_text(encoding="utf-8"))
    }
    assert over(sizes, FUNCTION_LINES, LONGER_FUNCTIONS) == []


def test_the_checker_measures_functions_and_methods() -> None:
    source = "def f():\n    pass\n\nclass A:\n    @property\n    def g(self):\n        def h():\n            pass\n"
    assert dict(function_sizes(source)) == {"f": 2, "A.g": 3, "A.g.h": 2}


def test_the_checker_only_lets_what_is_listed_shrink() -> None:
    assert over({"a": 10, "b": 11}, 10, {}) == ["b: 11 lines, at most 10"]
    assert over({"b": 12}, 10, {"b": 12}) == []
    assert over({"b": 13}, 10, {"b": 12}) == ["b: 13 lines, at most 12"]
    assert over({"b": 11}, 10, {"b": 12}) == ["b: lower the listed 12 to 11"]
    assert over({"b": 10}, 10, {"b": 12}) == ["b: fits now, take it off the list"]
    assert over({}, 10, {"b": 12}) == ["b: is gone, take it off the list"]


def over(sizes: dict[str, int], limit: int, listed: dict[str, int]) -> list[str]:
    """What to fix, one line for each item."""
    found = []
    for item, lines in sizes.items():
        allowed = listed.get(item, limit)
        if lines > allowed:
            found.append(f"{item}: {lines} lines, at most {allowed}")
        elif item in listed and lines <= limit:
            found.append(f"{item}: fits now, take it off the list")
        elif item in listed and lines < allowed:
            found.append(f"{item}: lower the listed {allowed} to {lines}")
    return found + [f"{item}: is gone, take it off the list" for item in listed if item not in sizes]


def function_sizes(source: str) -> Iterator[tuple[str, int]]:
    """Qualified name and number of lines, from `def` to the last one, of every function; a nested one counts twice."""
    yield from _function_sizes(ast.parse(source), "")


def _function_sizes(node: ast.AST, prefix: str) -> Iterator[tuple[str, int]]:
    for child in ast.iter_child_nodes(node):
        match child:
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                yield f"{prefix}{child.name}", (child.end_lineno or child.lineno) - child.lineno + 1
                yield from _function_sizes(child, f"{prefix}{child.name}.")
            case ast.ClassDef():
                yield from _function_sizes(child, f"{prefix}{child.name}.")
            case _:
                yield from _function_sizes(child, prefix)
