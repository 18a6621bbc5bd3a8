"""Resolves relative paths: from the folder of the file that contains them, otherwise from the current folder."""

from __future__ import annotations

import os

from trigger_engine._config.conversion import RawSetting


def absolute(given: RawSetting, path: str) -> str:
    """The absolute path, with `~` expanded. Raises ConfigError for an invalid path."""
    if not path.strip() or "\0" in path:
        raise given.error("must be the path of a file")
    if path == ":memory:" or path.startswith("file:"):
        raise given.error(
            "must be the path of a file, not a SQLite URI; to keep all data in memory, set trigger_cls to MemTrigger"
        )
    return os.path.abspath(given.layer.folder / os.path.expanduser(path))


def absolute_import_path(given: RawSetting, import_path: str) -> str:
    """`path/to/tasks.py:app` with an absolute path; `tasks:app` unchanged."""
    file, _, attribute = import_path.rpartition(":")
    return f"{absolute(given, file)}:{attribute}" if file.endswith(".py") else import_path
