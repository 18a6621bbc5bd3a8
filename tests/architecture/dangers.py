"""Says where a module's source could run or load what somebody else has written: unpickling, eval, imports by name."""

import ast
from collections.abc import Iterator

MODULES = {
    "pickle": "unpickling runs code",
    "cPickle": "unpickling runs code",
    "dill": "unpickling runs code",
    "cloudpickle": "unpickling runs code",
    "marshal": "unmarshalling makes code",
    "shelve": "unpickling runs code",
    "code": "runs code made at run time",
    "codeop": "makes code at run time",
    "runpy": "runs modules by name",
    "imp": "imports by name",
    "pkgutil": "imports by name",
    "importlib": "imports by name",
    "subprocess": "starts programs",
    "pty": "starts programs",
    "multiprocessing": "pickles what it sends",
    "yaml": "may make any object",
    "xml": "expands entities",
    "telnetlib": "speaks in the clear",
}
BUILTINS = {
    "eval": "runs code made at run time",
    "exec": "runs code made at run time",
    "compile": "makes code at run time",
    "__import__": "imports by name",
}
METHODS = {
    "system": "starts a shell",
    "popen": "starts a shell",
    "create_subprocess_shell": "starts a shell",
    "create_subprocess_exec": "starts programs",
    "import_module": "imports by name",
    "ProcessPoolExecutor": "pickles what it sends",
    "mktemp": "leaves a gap for somebody else's file",
    "exec_module": "runs modules by name",
    "load_extension": "loads a library into SQLite",
    "enable_load_extension": "loads a library into SQLite",
}


def dangers(source: str, *, filename: str = "<source>") -> list[str]:
    """One line for each place, `filename:line: what`."""
    found = sorted(set(_walk(ast.parse(source, filename))))
    return [f"{filename}:{line}: {what}" for line, what in found]


def _walk(tree: ast.AST) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=names):
                for alias in names:
                    yield from _of_module(node.lineno, alias.name)
            case ast.ImportFrom(module=str(module), names=names):
                yield from _of_module(node.lineno, module)
                for alias in names:
                    yield from _of_module(node.lineno, f"{module}.{alias.name}")
                    if alias.name in METHODS:
                        yield node.lineno, f"{alias.name}: {METHODS[alias.name]}"
            case ast.Name(id=name) if name in BUILTINS:
                yield node.lineno, f"{name}: {BUILTINS[name]}"
            case ast.Attribute(attr=name) if name in METHODS:
                yield node.lineno, f"{name}: {METHODS[name]}"


def _of_module(line: int, name: str) -> Iterator[tuple[int, str]]:
    # What importlib tells of installed packages loads nothing.
    if name.startswith(("importlib.metadata", "importlib.resources")) or name == "importlib":
        if name == "importlib":
            yield line, "importlib: imports by name"
        return
    for module, what in MODULES.items():
        if name == module or name.startswith(f"{module}."):
            yield line, f"{module}: {what}"
