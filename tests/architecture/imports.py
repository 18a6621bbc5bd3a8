"""What the modules of a source tree import from one another, and where that runs in a circle."""

import ast
from collections.abc import Iterator, Mapping
from pathlib import Path

Graph = Mapping[str, frozenset[str]]


def import_graph(*packages: Path) -> Graph:
    """For each module of the packages those that it imports, inside functions and for types alone too."""
    modules = {module_name(path, package.parent): path for package in packages for path in package.rglob("*.py")}
    return {name: frozenset(_known_imports(path, modules)) - {name} for name, path in modules.items()}


def module_name(path: Path, root: Path) -> str:
    """The dotted name of a file below the folder that holds its package."""
    parts = path.relative_to(root).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imported_names(source: str) -> Iterator[str]:
    """Every module that a source imports, and every name that it imports from one, dotted."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def circles(graph: Graph) -> list[list[str]]:
    """The groups of modules that import one another in a circle, each sorted."""
    reached = {module: _reachable(module, graph) for module in graph}
    groups = {frozenset({module} | {m for m in reached[module] if module in reached[m]}) for module in graph}
    return sorted(sorted(group) for group in groups if len(group) > 1)


def _known_imports(path: Path, modules: Mapping[str, Path]) -> Iterator[str]:
    for name in imported_names(path.read_text(encoding="utf-8")):
        for known in (name, name.rpartition(".")[0]):
            if known in modules:
                yield known
                break


def _reachable(module: str, graph: Graph) -> frozenset[str]:
    seen: set[str] = set()
    waiting = list(graph[module])
    while waiting:
        if (found := waiting.pop()) not in seen:
            seen.add(found)
            waiting.extend(graph[found])
    return frozenset(seen)
