"""Installs the servers that come as packages of the system: `python -m tests.support.servers.install`.

`nox -s tests` runs it. Where it cannot install one it says what to do; the tests that need it then fail.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

PROGRAMS = {"redis-server": "redis-server", "rabbitmq-server": "rabbitmq-server"}
"""The Debian package of each program."""


def main() -> None:
    """Installs what is missing, as root with apt-get."""
    missing = [package for program, package in PROGRAMS.items() if shutil.which(program) is None]
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


if __name__ == "__main__":
    main()
