"""Relative paths become absolute: from the file they stand in, else from the current folder."""

from __future__ import annotations

import os

from trigger_engine.config.conversion import Given


def absolute(given: Given, path: str) -> str:
    """A path of the file system, absolute, `~` expanded. Raises ConfigError for what is not one."""
    if not path.strip() or "\0" in path:
        raise given.error("must be the path of a file")
    if path == ":memory:" or path.startswith("file:"):
        raise given.error(
            "must be the path of a file, not a SQLite URI; to keep everything in memory set trigger_cls to MemTrigger"
        )
    return os.path.abspath(given.layer.folder / os.path.expanduser(path))


def absolute_import_path(given: Given, import_path: str) -> str:
    """`path/to/tasks.py:app` with its file made absolute; `tasks:app` as it is."""
    file, _, attribute = import_path.rpartition(":")
    return f"{absolute(given, file)}:{attribute}" if file.endswith(".py") else import_path
