"""What a runner says of itself, and how often."""

from __future__ import annotations

import os
import socket
import sys
from functools import cache
from importlib.metadata import PackageNotFoundError, version

from trigger_engine.app import TriggerEngine
from trigger_engine.log.contract import FunctionTiming, RunnerFacts


def runner_facts(
    app: TriggerEngine, runner_id: str, started_at: float, functions: tuple[FunctionTiming, ...] = ()
) -> RunnerFacts:
    """The facts of this process's runner now; tasks and triggers grow as modules are loaded."""
    triggers = tuple((slot, definition.id) for slot, definition in sorted(app.registry.triggers.items()))
    return RunnerFacts(
        runner_id=runner_id,
        host=socket.gethostname(),
        pid=os.getpid(),
        started_at=started_at,
        code_time=_code_time(app),
        version=app.settings.version or _package_version(),
        tasks=tuple(sorted(app.registry.tasks)),
        triggers=triggers,
        queues=tuple(app.settings.queues),
        concurrency=app.settings.concurrency,
        functions=functions,
    )


def _code_time(app: TriggerEngine) -> float:
    """When the newest file that declares a task was changed, seconds since 1970: tells newer code from older."""
    names = {task.func.__module__ for task in app.registry.tasks.values()}
    files = {getattr(sys.modules.get(name), "__file__", None) for name in names}
    return max((os.path.getmtime(file) for file in files if file and os.path.exists(file)), default=0.0)


@cache
def _package_version() -> str:
    try:
        return version("trigger-engine")
    except PackageNotFoundError:
        return "unknown"
