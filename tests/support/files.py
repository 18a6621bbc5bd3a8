"""Full disks and files that cannot be written, for root too. Tests skip where the system does not support it."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def mounted_read_only(folder: Path) -> Iterator[None]:
    """Makes a folder read-only."""
    _need("mount")
    _call("mount", "--bind", str(folder), str(folder))
    try:
        _call("mount", "-o", "remount,bind,ro", str(folder))
        yield
    finally:
        _call("umount", "--lazy", str(folder))


@contextmanager
def small_disk(folder: Path, size: str) -> Iterator[Path]:
    """Mounts a disk of this size, such as 2m, on a folder."""
    _need("mount")
    folder.mkdir(exist_ok=True)
    _call("mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder))
    try:
        yield folder
    finally:
        _call("umount", "--lazy", str(folder))


@contextmanager
def immutable(file: Path) -> Iterator[None]:
    """Makes a file read-only, but not its folder."""
    _need("chattr")
    _call("chattr", "+i", str(file))
    try:
        yield
    finally:
        _call("chattr", "-i", str(file))


def fill(folder: Path) -> Path:
    """Fills the disk of a folder. Removing the returned file makes room again."""
    ballast = folder / "ballast"
    descriptor = os.open(ballast, os.O_WRONLY | os.O_CREAT)
    try:
        for size in (1 << 16, 4096, 1):
            _write_until_full(descriptor, b"\0" * size)
    finally:
        os.close(descriptor)
    return ballast


def _write_until_full(descriptor: int, block: bytes) -> None:
    try:
        while os.write(descriptor, block):
            pass
    except OSError:
        return


def _need(program: str) -> None:
    if sys.platform != "linux" or os.geteuid() != 0:
        pytest.skip(f"NOT CHECKED: {program} needs root on Linux")


def _call(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    if done.returncode and command[0] != "umount":
        pytest.skip(f"NOT CHECKED: this system cannot `{' '.join(command)}`: {done.stderr.strip()}")
