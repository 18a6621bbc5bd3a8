"""Detects changes of an app's code."""

from __future__ import annotations

import asyncio
import importlib
import importlib.util
import logging
import os
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from pathlib import Path
from typing import Any

from trigger_engine._cli.app_loading import app_target

logger = logging.getLogger(__name__)
POLL_INTERVAL = 0.5
"""Seconds between two scans."""
_SKIPPED = frozenset({"__pycache__", "node_modules", "site-packages"})

FileStates = dict[str, tuple[int, int]]
"""Modification time and size of each file."""


def watched_folder(target: str | None) -> Path:
    """Returns the folder of the app's file or top-level package, else the current folder. Imports nothing."""
    module, _ = app_target(target)
    if module.endswith(".py") or os.sep in module:
        return _above_packages(Path(os.path.abspath(module)).parent)
    top = Path(module.partition(".")[0])
    return Path.cwd() / top if (Path.cwd() / top).is_dir() else Path.cwd()


async def python_changes(folder: Path) -> AsyncGenerator[str]:
    """Yields the path of a changed, new or removed .py file in a folder tree whenever files change.

    Uses watchfiles if installed, else scans every 0.5 s.
    """
    watchfiles = _watchfiles()
    if watchfiles is not None:
        try:
            async for changes in watchfiles.awatch(folder, watch_filter=watchfiles.PythonFilter(), debounce=200):
                yield _shown(min(path for _, path in changes))
        except OSError as exc:
            logger.warning("watchfiles cannot watch %s (%s): scanning every %s s instead", folder, exc, POLL_INTERVAL)
    async for path in _polled(folder):
        yield path


def scan(folder: Path) -> FileStates:
    """Returns the state of every .py file in a folder tree, except in virtual environments and hidden folders."""
    return {path: state for path in _python_files(folder) if (state := _state(path)) is not None}


def difference(before: FileStates, after: FileStates) -> list[str]:
    """Returns the files that differ, in order."""
    return sorted(path for path in before.keys() | after.keys() if before.get(path) != after.get(path))


async def _polled(folder: Path) -> AsyncIterator[str]:
    before = scan(folder)
    while True:
        await asyncio.sleep(POLL_INTERVAL)
        after = scan(folder)
        if changed := difference(before, after):
            yield _shown(changed[0])
        before = after


def _watchfiles() -> Any:
    try:
        return importlib.import_module("watchfiles")
    except ImportError:
        return None


def _python_files(folder: Path) -> Iterator[str]:
    for root, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not _is_skipped(root, name)]
        yield from (os.path.join(root, name) for name in files if name.endswith(".py"))


def _is_skipped(root: str, name: str) -> bool:
    return name.startswith(".") or name in _SKIPPED or os.path.exists(os.path.join(root, name, "pyvenv.cfg"))


def _state(path: str) -> tuple[int, int] | None:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size


def _above_packages(folder: Path) -> Path:
    while (folder / "__init__.py").is_file() and folder != folder.parent:
        folder = folder.parent
    return folder


def _shown(path: str) -> str:
    relative = os.path.relpath(path)
    return path if relative.startswith("..") else relative
