"""How long do the import, the command line and a runner take to start?

Beside the programs: the interpreter alone, `python -c pass`, in the same run. Modules are compiled, as in an
installation.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.harness.apps import RUN, BenchmarkApp
from benchmarks.harness.measuring import Run, Value, benchmark, check_log, in_loop
from benchmarks.harness.stores import fresh_database, on_sqlite
from benchmarks.harness.watch import watching

_IMPORT = """
import time
begun = time.perf_counter()
import trigger_engine
print((time.perf_counter() - begun) * 1000)
"""
_PROGRAMS = 7
"""Programs started in each run; the fastest counts, since other work on the machine only adds time."""

_ALONE = "the interpreter alone"


@benchmark("start_up")
def measure(place: None, small: bool) -> Iterator[Run]:
    programs = range(1 if small else _PROGRAMS)

    def run() -> Iterator[Value]:
        yield Value("import trigger_engine", "ms", min(float(_program("-c", _IMPORT)[0]) for _ in programs))
        bare = min(_program("-c", "pass")[1] for _ in programs)
        helped = min(_program("-m", "trigger_engine", "--help")[1] for _ in programs)
        yield Value("trigger-engine --help", "ms", helped, bare, _ALONE)
        yield Value("trigger-engine run, from the shell to the first task's end", "ms", _first_task(), bare, _ALONE)

    with tempfile.TemporaryDirectory(prefix="trigger-engine-compiled-") as folder, _compiled_into(folder):
        _program("-c", _IMPORT)
        _program("-m", "trigger_engine", "--help")
        _first_task()
        yield run


@contextmanager
def _compiled_into(folder: str) -> Iterator[None]:
    """Programs started inside keep their compiled modules in this folder."""
    before = os.environ.copy()
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    os.environ["PYTHONPYCACHEPREFIX"] = folder
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def _program(*arguments: str) -> tuple[str, float]:
    """The output of `python ARGUMENTS`, and its duration in milliseconds."""
    begun = time.perf_counter()
    done = subprocess.run([sys.executable, *arguments], capture_output=True, text=True, check=True)
    return done.stdout, (time.perf_counter() - begun) * 1_000


def _first_task() -> float:
    with fresh_database() as path:
        return in_loop(first_task(path))


async def first_task(database: Path, *, checked: bool = True) -> float:
    """Milliseconds from starting a runner to the end of the first waiting task. `checked`: audits the log."""
    benchmark = BenchmarkApp(on_sqlite(database))
    async with benchmark.app:
        await benchmark.app.emit_event("nobody listens")
        with watching(database) as watch:
            mark = watch.mark()
            await benchmark.plain()
            begun = time.perf_counter()
            process = await asyncio.create_subprocess_exec(sys.executable, *RUN)
            try:
                await watch.wait_succeeded(1, mark)
                return (time.perf_counter() - begun) * 1_000
            finally:
                process.terminate()
                await process.wait()
                if checked:
                    await check_log(benchmark.app)
