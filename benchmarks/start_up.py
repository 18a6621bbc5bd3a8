"""How long until something can begin: the import, the command line, a runner's first claim?

Beside the programs: the interpreter alone, `python -c pass`, in the same run.
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

from benchmarks.apps import BenchmarkApp
from benchmarks.harness import Figure, check_books, in_loop, runs_of
from benchmarks.stores import fresh_database, on_sqlite
from benchmarks.watch import watching

_IMPORT = """
import time
begun = time.perf_counter()
import trigger_engine
print((time.perf_counter() - begun) * 1000)
"""
_PROGRAMS = 7
"""Programs started for each run: the fastest counts, since whatever else the machine does only adds."""


def measure(*, small: bool) -> Iterator[Figure]:
    """Milliseconds, of compiled modules, as an installation has them."""
    with tempfile.TemporaryDirectory(prefix="trigger-engine-compiled-") as folder, _compiled_into(folder):
        yield from _measure(small=small)


def _measure(*, small: bool) -> Iterator[Figure]:
    runs, programs = range(runs_of(small=small)), range(1 if small else _PROGRAMS)
    _program("-c", _IMPORT)
    _program("-m", "trigger_engine", "--help")
    imports = tuple(min(float(_program("-c", _IMPORT)[0]) for _ in programs) for _ in runs)
    yield Figure("start_up", "import trigger_engine", "ms", imports)
    bare = tuple(min(_program("-c", "pass")[1] for _ in programs) for _ in runs)
    helped = tuple(min(_program("-m", "trigger_engine", "--help")[1] for _ in programs) for _ in runs)
    yield Figure("start_up", "trigger-engine --help", "ms", helped, bare, "the interpreter alone")
    claims = []
    for _ in range(1 + len(runs)):
        with fresh_database() as path:
            claims.append(in_loop(_first_claim(path)))
    what = "trigger-engine run, from the shell to the first task's end"
    yield Figure("start_up", what, "ms", tuple(claims[1:]), bare, "the interpreter alone")


@contextmanager
def _compiled_into(folder: str) -> Iterator[None]:
    """Programs started meanwhile keep their compiled modules there, whatever the surroundings say of that."""
    before = os.environ.copy()
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    os.environ["PYTHONPYCACHEPREFIX"] = folder
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def _program(*arguments: str) -> tuple[str, float]:
    """What `python ARGUMENTS` prints, and the milliseconds that it takes."""
    begun = time.perf_counter()
    done = subprocess.run([sys.executable, *arguments], capture_output=True, text=True, check=True)
    return done.stdout, (time.perf_counter() - begun) * 1_000


async def _first_claim(database: Path) -> float:
    benchmark = BenchmarkApp(on_sqlite(database))
    async with benchmark.app:
        await benchmark.plain()
        command = ["-m", "trigger_engine", "run", "benchmarks.served:app", "--log-level", "warning"]
        begun = time.perf_counter()
        process = await asyncio.create_subprocess_exec(sys.executable, *command)
        try:
            with watching(database) as watch:
                await watch.wait_succeeded(1)
            return (time.perf_counter() - begun) * 1_000
        finally:
            process.terminate()
            await process.wait()
            await check_books(benchmark.app)
