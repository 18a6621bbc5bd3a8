"""Installs the servers that come as packages of the system: `python -m tests.support.servers.install`.

`nox -s tests` runs it. Where it cannot install one it says what to do; the tests that need it then fail.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import sys

PROGRAMS = {"redis-server": "redis-server", "rabbitmq-server": "rabbitmq-server"}
LIBRARIES = {"libcurl.so.4": "libcurl4", "libssl.so.3": "libssl3"}
"""The Debian package of each program, and of each library that mongod needs."""


def main() -> None:
    """Installs what is missing, as root with apt-get."""
    missing = [package for program, package in PROGRAMS.items() if shutil.which(program) is None]
    missing += [package for library, package in LIBRARIES.items() if not _is_there(library)]
    if not missing:
        return
    if shutil.which("apt-get") is None or os.geteuid() != 0:
        print(f"install for the tests: {', '.join(missing)} (Debian: apt-get install {' '.join(missing)})")
        return
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for words in (["update"], ["install", "-y", "--no-install-recommends", *missing]):
        done = subprocess.run(["apt-get", "-q", *words], env=environment, stdin=subprocess.DEVNULL, check=False)
        if done.returncode:
            print(f"apt-get {words[0]} failed: {', '.join(missing)} cannot be installed", file=sys.stderr)


def _is_there(library: str) -> bool:
    try:
        ctypes.CDLL(library)
    except OSError:
        return False
    return True


if __name__ == "__main__":
    main()
