"""What is measured of the processes under soak."""

from __future__ import annotations

import contextlib

import psutil

MEMORY, DESCRIPTORS, THREADS, PROCESSES = "memory", "file descriptors", "threads", "child processes"
MIB = 2**20


def of_process(name: str, process: psutil.Process) -> dict[str, float]:
    """RSS (MiB), descriptors and threads of a process, and the same of its children together.

    Raises psutil.NoSuchProcess when it has ended.
    """
    with process.oneshot():
        found = {
            f"{name}: {MEMORY}, MiB": process.memory_info().rss / MIB,
            f"{name}: {DESCRIPTORS}": float(process.num_fds()),
            f"{name}: {THREADS}": float(process.num_threads()),
        }
    children = process.children(recursive=True)
    if children:
        rss = 0.0
        for child in children:
            with contextlib.suppress(psutil.NoSuchProcess):
                rss += child.memory_info().rss / MIB
        found[f"{name}: {PROCESSES}"] = len(children)
        found[f"{name}: {MEMORY} of child processes, MiB"] = rss
    return found
