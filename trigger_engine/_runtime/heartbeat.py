"""The facts that a runner reports in its heartbeats."""

from __future__ import annotations

import os
import socket
import sys
from functools import cache
from importlib.metadata import PackageNotFoundError, version

from trigger_engine._client.internals import AppInternals
from trigger_engine.backend._contract import FunctionTiming, RunnerFacts


def runner_facts(
    internals: AppInternals, runner_id: str, started_at: float, functions: tuple[FunctionTiming, ...] = ()
) -> RunnerFacts:
    """The current facts of a runner in this process. Tasks and triggers grow as modules are imported."""
    triggers = tuple((slot, definition.id) for slot, definition in sorted(internals.registry.triggers.items()))
    return RunnerFacts(
        runner_id=runner_id,
        host=socket.gethostname(),
        pid=os.getpid(),
        started_at=started_at,
        code_time=_code_time(internals),
        version=internals.settings.version or _package_version(),
        tasks=tuple(sorted(internals.registry.tasks)),
        triggers=triggers,
        queues=tuple(internals.settings.queues),
        concurrency=internals.settings.concurrency,
        functions=functions,
    )


def _code_time(internals: AppInternals) -> float:
    """The newest modification time of the files that declare tasks, seconds since 1970. Orders code by age."""
    names = {task.func.__module__ for task in internals.registry.tasks.values()}
    files = {getattr(sys.modules.get(name), "__file__", None) for name in names}
    return max((os.path.getmtime(file) for file in files if file and os.path.exists(file)), default=0.0)


@cache
def _package_version() -> str:
    try:
        return version("trigger-engine")
    except PackageNotFoundError:
        return "unknown"
