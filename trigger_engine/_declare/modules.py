"""Module names that are the same whether a file is imported, run as a script, or loaded by path.

The name of a file starts below the nearest folder without `__init__.py`: `pkg/tasks.py` is `pkg.tasks` if `pkg` is a
package, else `tasks`. The `__main__` module is also registered under that name, so it is never imported twice.
"""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from trigger_engine.errors import ConfigError

_MAIN = "__main__"
_MAIN_NAMES = frozenset({_MAIN, "__mp_main__"})
"""`__mp_main__` is the name of the parent's main module in a spawned child process."""


def module_name_of(function: Callable[..., Any]) -> str:
    """The name of the module that defines a function. Never `__main__` if that is a file or was run with -m."""
    inner = inspect.unwrap(function)
    name: str = inner.__module__
    return _public_name(getattr(inner, "__globals__", {})) if name in _MAIN_NAMES else name


def alias_main() -> str:
    """Registers `__main__` under its public name and returns that name.

    Returns `__main__` in an interactive session, and if another module already has that name.
    """
    main = sys.modules[_MAIN]
    name = _public_name(vars(main))
    if name in _MAIN_NAMES:
        return _MAIN
    known = sys.modules.setdefault(name, main)
    if known is not main and not _is_same_file(known, main):
        return _MAIN
    parent, _, child = name.rpartition(".")
    if parent and known is main:
        _make_importable(parent, Path(str(main.__file__)))
        if parent in sys.modules:
            setattr(sys.modules[parent], child, main)
    return name


def import_module(name: str) -> ModuleType:
    """Imports a module by its dotted name. The module of the main program is `__main__`, not a second copy.

    Raises ModuleNotFoundError, and whatever the module itself raises.
    """
    alias_main()
    if name not in sys.modules:
        spec = importlib.util.find_spec(name)
        main = sys.modules[_MAIN]
        if spec is not None and spec.origin and _is_file_of(main, Path(spec.origin)):
            sys.modules[name] = main
    return importlib.import_module(name)


def load_app_module(target: str) -> ModuleType:
    """Imports a module by dotted name or by path (`path/to/tasks.py`), once, under its public name.

    The current folder, or for a path the folder where its name starts, is put first on the import path.
    Raises ConfigError if there is no such module. Errors of the module itself are passed through.
    """
    if target.endswith(".py") or "/" in target or os.sep in target:
        return _load_path(Path(os.path.abspath(target)))
    if not all(target.split(".")):
        raise ConfigError(f"{target!r} is not a module name: write it like pkg.tasks, or give the path of the file")
    _put_first(Path.cwd())
    try:
        return import_module(target)
    except ModuleNotFoundError as exc:
        if exc.name is None or not f"{target}.".startswith(f"{exc.name}."):
            raise
        raise ConfigError(
            f"there is no module {target!r} in {Path.cwd()} or on the import path: "
            "check the spelling, change to the folder of the project, or give the path of the file"
        ) from exc


def _load_path(file: Path) -> ModuleType:
    if file.is_dir():
        file /= "__init__.py"
    if not file.is_file():
        raise ConfigError(f"there is no file {file}: check the path, which is relative to the current folder")
    loaded = _loaded_from(file)
    if loaded is not None:
        return loaded
    root, name = _place(file)
    _put_first(root)
    module = import_module(name)
    if not _is_file_of(module, file):
        raise ConfigError(
            f"{file} cannot be imported as {name!r}, because {getattr(module, '__file__', module)} has that name: "
            "rename the file"
        )
    return module


def _loaded_from(file: Path) -> ModuleType | None:
    alias_main()
    found = [module for module in list(sys.modules.values()) if _is_file_of(module, file)]
    return found[0] if found else None


def _public_name(namespace: Mapping[str, Any]) -> str:
    """The public name of a main module, given its globals."""
    spec = namespace.get("__spec__")
    if spec is not None and spec.name not in _MAIN_NAMES:
        return str(spec.name)
    file = namespace.get("__file__")
    return _place(Path(os.path.abspath(file)))[1] if file else _MAIN


def _place(file: Path) -> tuple[Path, str]:
    """The folder where the dotted name of a file starts, and that name."""
    parts = [] if file.stem == "__init__" else [file.stem.replace(".", "_")]
    folder = file.parent
    while (folder / "__init__.py").is_file() and folder != folder.parent:
        parts.insert(0, folder.name)
        folder = folder.parent
    return folder, ".".join(parts)


def _make_importable(package: str, file: Path) -> None:
    """Makes the package of the main program importable. By default only the program's own folder is on the path."""
    top = package.partition(".")[0]
    if top not in sys.modules and importlib.util.find_spec(top) is None:
        sys.path.append(str(_place(file)[0]))


def _put_first(folder: Path) -> None:
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))


def _is_same_file(one: ModuleType, other: ModuleType) -> bool:
    file = getattr(other, "__file__", None)
    return isinstance(file, str) and _is_file_of(one, Path(file))


def _is_file_of(module: Any, file: Path) -> bool:
    known = getattr(module, "__file__", None)
    if not isinstance(known, str) or os.path.basename(known) != file.name:
        return False
    try:
        return os.path.samefile(known, file)
    except OSError:
        return False
