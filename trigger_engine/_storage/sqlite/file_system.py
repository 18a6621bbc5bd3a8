"""Refuses file systems on which a database cannot be shared safely."""

from __future__ import annotations

import os
import re

from trigger_engine.errors import ConfigError

_REMOTE = frozenset({"afs", "cifs", "fuse.sshfs", "nfs", "nfs4", "smb3", "smbfs"})
_OCTAL = re.compile(r"\\([0-7]{3})")
_MOUNTS = "/proc/self/mountinfo"


def check_file_system(path: str, mounts: str = _MOUNTS) -> None:
    """Raises ConfigError for a network file system: processes on other hosts would not see the locks."""
    kind = _kind(path, mounts)
    if kind in _REMOTE:
        raise ConfigError(
            f"{path} is on a network file system ({kind}), where SQLite's locks are not reliable: "
            "name a file on a local disk in sqlite_db_path, or select a server backend"
        )


def _kind(path: str, mounts: str) -> str | None:
    """The type of the file system that holds a path, None when the system does not report it."""
    found: tuple[str, str | None] = ("", None)
    try:
        with open(mounts, encoding="utf-8", errors="surrogateescape") as file:
            for line in file:
                before, _, after = line.partition(" - ")
                folder = _OCTAL.sub(lambda match: chr(int(match[1], 8)), before.split()[4])
                if _is_below(path, folder) and len(folder) >= len(found[0]):
                    found = (folder, after.split()[0])
    except (OSError, IndexError):
        return None
    return found[1]


def _is_below(path: str, folder: str) -> bool:
    return os.path.commonpath((path, folder)) == folder
