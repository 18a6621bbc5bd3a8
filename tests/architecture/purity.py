"""Says what in a module's source is not pure: I/O, waiting, the clock, chance, or what differs by process."""

import ast
from collections.abc import Iterator

PURE_STANDARD_MODULES = """
    __future__ abc array base64 bisect calendar collections contextlib copy dataclasses datetime decimal difflib enum
    fractions functools graphlib hashlib heapq inspect itertools json keyword math numbers operator re statistics string
    struct textwrap types typing unicodedata zoneinfo
"""
PURE_LIBRARIES = "croniter msgspec typing_extensions"
PURE_PACKAGES = "trigger_engine._engine trigger_engine._model trigger_engine.errors"
PURE_IMPORTS = frozenset(f"{PURE_STANDARD_MODULES} {PURE_LIBRARIES} {PURE_PACKAGES}".split())
"""What the core may import. Everything else is impure until someone shows that it is not."""

IMPURE_BUILTINS = {
    "__import__": "imports at run time",
    "breakpoint": "stops for a person",
    "compile": "makes code at run time",
    "eval": "runs code made at run time",
    "exec": "runs code made at run time",
    "hash": "differs from process to process for strings",
    "id": "differs from process to process",
    "input": "does I/O",
    "open": "does I/O",
    "print": "does I/O",
}
CLOCK_METHODS = frozenset({"now", "utcnow", "today"})
LOCAL_ZONE_METHODS = {"fromtimestamp": 2, "astimezone": 1}
"""Methods that take the machine's own time zone when they get fewer arguments than this."""


def impurities(source: str, *, filename: str = "<source>") -> list[str]:
    """One line for each impure place, `filename:line: what`."""
    tree = ast.parse(source, filename)
    return [f"{filename}:{line}: {what}" for line, what in sorted(_walk(tree, inside_hash=False))]


def _walk(node: ast.AST, *, inside_hash: bool) -> Iterator[tuple[int, str]]:
    for child in ast.iter_child_nodes(node):
        match child:
            case ast.AsyncFunctionDef(name=function):
                yield child.lineno, f"async def {function}"
            case ast.Await() | ast.AsyncFor() | ast.AsyncWith():
                yield child.lineno, "waits (await, async for, async with)"
            case ast.comprehension(is_async=1):
                yield child.target.lineno, "waits (async comprehension)"
            case ast.Import() | ast.ImportFrom():
                yield from ((child.lineno, f"imports {name}") for name in _impure_imports(child))
            case ast.Call():
                if (what := _impure_call(child, inside_hash=inside_hash)) is not None:
                    yield child.lineno, what
            case ast.Attribute() if _is_clock(child) and not _is_called(child, node):
                yield child.lineno, f"{ast.unparse(child)}: hands out the clock"
            case _:
                pass
        is_hash = isinstance(child, ast.FunctionDef) and child.name == "__hash__"
        yield from _walk(child, inside_hash=inside_hash or is_hash)


def _impure_imports(node: ast.Import | ast.ImportFrom) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names if not _is_pure(alias.name)]
    if node.level:
        return [f"{'.' * node.level}{node.module or ''} (write it absolute)"]
    module = node.module or ""
    if module == "trigger_engine":
        return [f"trigger_engine.{alias.name}" for alias in node.names if not _is_pure(f"trigger_engine.{alias.name}")]
    return [] if _is_pure(module) else [module]


def _is_pure(module: str) -> bool:
    return any(module == pure or module.startswith(f"{pure}.") for pure in PURE_IMPORTS)


def _impure_call(node: ast.Call, *, inside_hash: bool) -> str | None:
    arguments = len(node.args) + len(node.keywords)
    match node.func:
        case ast.Name(id="hash") if inside_hash:
            return None
        case ast.Name(id=builtin) if builtin in IMPURE_BUILTINS:
            return f"{builtin}(): {IMPURE_BUILTINS[builtin]}"
        case ast.Attribute(attr=method) if method in CLOCK_METHODS:
            return f"{ast.unparse(node.func)}(): reads the clock"
        case ast.Attribute(attr=method) if arguments < LOCAL_ZONE_METHODS.get(method, 0):
            return f"{ast.unparse(node.func)}(): takes the machine's time zone; name one"
        case ast.Name(id="croniter") | ast.Attribute(attr="croniter") if arguments < 2:
            return "croniter(): reads the clock; give it a start time"
        case _:
            return None


def _is_clock(node: ast.Attribute) -> bool:
    return node.attr in CLOCK_METHODS and ast.unparse(node.value).rpartition(".")[2] in {"date", "datetime"}


def _is_called(node: ast.Attribute, parent: ast.AST) -> bool:
    return isinstance(parent, ast.Call) and parent.func is node
