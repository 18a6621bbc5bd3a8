"""Finds the modules of an app's package that declare triggers, from their source without importing them."""

from __future__ import annotations

import ast
import importlib.util
import os
from collections.abc import Iterator
from pathlib import Path

Place = tuple[Path, int]
"""A file and a line in it."""


def declaring_modules(home_module: str) -> dict[str, Place]:
    """Returns every module that declares triggers, with the place of its first declaration, by name.

    Scans the package of `home_module`. If `home_module` is not in a package, scans the modules next to it that import
    it. Modules that create their own app are left out.
    """
    top = home_module.partition(".")[0]
    found = {}
    for name, file in _candidates(top):
        tree = _parsed(file)
        if tree is None or (name != home_module and _makes_app(tree)):
            continue
        line = _first_declaration(tree)
        beside = not home_module.startswith(f"{top}.") and not name.startswith(f"{top}.")
        if line is not None and (name == home_module or not beside or _imports(tree, home_module)):
            found[name] = (file, line)
    return found


def _candidates(top: str) -> Iterator[tuple[str, Path]]:
    try:
        spec = importlib.util.find_spec(top)
    except (ImportError, ValueError):
        return
    if spec is None:
        return
    if spec.submodule_search_locations is not None:
        for folder in spec.submodule_search_locations:
            yield from _in_package(Path(folder), top)
    elif spec.origin is not None:
        yield from (
            (file.stem, file) for file in sorted(Path(spec.origin).parent.glob("*.py")) if file.stem.isidentifier()
        )


def _in_package(folder: Path, package: str) -> Iterator[tuple[str, Path]]:
    for root, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if name.isidentifier() and name != "__pycache__")
        inside = Path(root).relative_to(folder).parts
        for file in sorted(files):
            stem, suffix = os.path.splitext(file)
            if suffix == ".py" and stem.isidentifier():
                parts = [package, *inside] if stem == "__init__" else [package, *inside, stem]
                yield ".".join(parts), Path(root, file)


def _parsed(file: Path) -> ast.Module | None:
    try:
        return ast.parse(file.read_bytes(), str(file))
    except (OSError, SyntaxError, ValueError, RecursionError):
        return None


def _makes_app(tree: ast.Module) -> bool:
    names = {"TriggerEngine", "TriggerEngineBuilder"}
    return any(isinstance(node, ast.Call) and _last_name(node.func) in names for node in ast.walk(tree))


def _first_declaration(tree: ast.Module) -> int | None:
    """Returns the line of the first `@….task(triggers=…)`, or None."""
    lines = [
        decorator.lineno
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        for decorator in node.decorator_list
        if isinstance(decorator, ast.Call) and _last_name(decorator.func) == "task"
        if any(keyword.arg == "triggers" for keyword in decorator.keywords)
    ]
    return min(lines, default=None)


def _imports(tree: ast.Module, module: str) -> bool:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import) and any(alias.name == module for alias in node.names):
            return True
        if isinstance(node, ast.ImportFrom) and node.module == module:
            return True
    return False


def _last_name(node: ast.expr) -> str | None:
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else None
