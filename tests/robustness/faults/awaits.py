"""Every place where the engine's coroutines may be suspended, read from its sources, and found again at run time.

A site is an `await`, an `async for`, or one end of an `async with`. `LISTED` are the modules on the paths of emitting,
leading, working, reading the history and shutting down; `EXCLUDED` says of the others that have coroutines why not.
"""

from __future__ import annotations

import ast
import dis
import gc
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import AsyncGeneratorType, CodeType, CoroutineType, FrameType, GeneratorType
from typing import Literal

from tests.architecture.source_tree import PACKAGE, name, python_files
from tests.support.project import ROOT

Kind = Literal["await", "enter", "exit", "next"]

LISTED = (
    "_app/app.py",
    "_client/connections.py",
    "_client/internals.py",
    "_client/invocation.py",
    "_client/result_follower.py",
    "_client/task.py",
    "_finishing.py",
    "_readmodel/catch_up.py",
    "_readmodel/history.py",
    "_readmodel/opening.py",
    "_readmodel/store/database.py",
    "_readmodel/store/thread.py",
    "_runtime/callbacks.py",
    "_runtime/leader/election.py",
    "_runtime/leader/maintenance.py",
    "_runtime/leader/retention.py",
    "_runtime/leader/term.py",
    "_runtime/runner.py",
    "_runtime/signals.py",
    "_runtime/user_calls.py",
    "_runtime/worker/attempt.py",
    "_runtime/worker/processes.py",
    "_runtime/worker/settling.py",
    "_runtime/worker/worker.py",
    "_storage/group_commit.py",
    "_storage/memory/log.py",
    "_storage/sqlite/backend.py",
    "_storage/sqlite/thread.py",
    "_storage/sqlite/log.py",
    "backend/_contract.py",
    "backend/_log_lifecycle.py",
    "backend/_notifier.py",
)

EXCLUDED = {
    "_audit/": "it only reads, by calls of the log that are listed; every scenario ends with an audit",
    "_cli/": "each command is a process that makes listed calls; tests/integration/cli and .../processes end those",
    "_monitor/": "it serves what the history returns; its own tests end its connections",
    "backend/_retry.py": "only backends on servers use it; tests/unit/backend/test_retry.py cancels it",
    "backend/_single_flight.py": "only backends on servers use it; tests/unit/backend/test_single_flight.py cancels it",
    "testing/": "tools for tests; production never runs them",
}
"""Folders and modules of the package whose awaits are not cancelled, each with the reason."""


@dataclass(frozen=True, slots=True, order=True)
class Site:
    """One place. `module`: below the package's folder; `column` from 0, as Python counts."""

    module: str
    line: int
    column: int
    kind: Kind

    def __str__(self) -> str:
        return f"{name(PACKAGE / self.module)}:{self.line}:{self.column} ({self.kind})"


def modules_with_coroutines() -> list[str]:
    """Every module of the package that has a site or a coroutine function."""
    paths = {path.relative_to(PACKAGE).as_posix(): path for path in python_files("trigger_engine")}
    return [module for module, path in paths.items() if _has_coroutines(ast.parse(path.read_text(encoding="utf-8")))]


def sites() -> list[Site]:
    """Every site of the listed modules."""
    return sorted({site for module in LISTED for site in sites_of(module, (PACKAGE / module).read_text("utf-8"))})


def sites_of(module: str, source: str) -> Iterator[Site]:
    """The sites of one module."""
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Await():
                yield Site(module, node.lineno, node.col_offset, "await")
            case ast.AsyncWith():
                yield Site(module, node.lineno, node.col_offset, "enter")
                yield Site(module, node.lineno, node.col_offset, "exit")
            case ast.AsyncFor():
                yield Site(module, node.iter.lineno, node.iter.col_offset, "next")
            case ast.ListComp() | ast.SetComp() | ast.DictComp() | ast.GeneratorExp():
                for part in node.generators:
                    if part.is_async:
                        yield Site(module, part.iter.lineno, part.iter.col_offset, "next")
            case _:
                pass


def sites_in_bytecode(path: Path) -> set[Site]:
    """The sites of a module that its bytecode has."""
    waiting = [compile(path.read_text("utf-8"), str(path), "exec")]
    found: set[Site] = set()
    while waiting:
        code = waiting.pop()
        found.update(_sites_by_offset(code).values())
        waiting += [each for each in code.co_consts if isinstance(each, CodeType)]
    return found


def suspended_at(coroutine: object) -> list[Site]:
    """Where a suspended coroutine stands: the sites of its chain of awaits, the outermost first."""
    found = []
    for code, offset in _suspended_frames(coroutine):
        site = _sites_by_offset(code).get(offset) if _module_of(code) is not None else None
        if site is not None:
            found.append(site)
    return found


def _has_coroutines(tree: ast.AST) -> bool:
    kinds = (ast.AsyncFunctionDef, ast.Await, ast.AsyncWith, ast.AsyncFor)
    return any(isinstance(node, kinds) for node in ast.walk(tree))


def _suspended_frames(awaitable: object) -> Iterator[tuple[CodeType, int]]:
    while awaitable is not None:
        frame: FrameType | None = None
        following: object = None
        if isinstance(awaitable, CoroutineType):
            frame, following = awaitable.cr_frame, awaitable.cr_await
        elif isinstance(awaitable, AsyncGeneratorType):
            frame, following = awaitable.ag_frame, awaitable.ag_await
        elif isinstance(awaitable, GeneratorType):
            frame, following = awaitable.gi_frame, awaitable.gi_yieldfrom
        else:
            following = _wrapped(awaitable)
        if frame is not None:
            yield frame.f_code, frame.f_lasti
        awaitable = following


def _wrapped(awaitable: object) -> object:
    """The coroutine inside what Python puts around it, such as the awaitable of `anext`; None for a future."""
    kinds = (CoroutineType, AsyncGeneratorType, GeneratorType)
    if type(awaitable).__module__ != "builtins":
        return None
    return next((inner for inner in gc.get_referents(awaitable) if isinstance(inner, kinds)), None)


@cache
def _module_of(code: CodeType) -> str | None:
    prefix = f"{PACKAGE}/"
    module = code.co_filename.removeprefix(prefix)
    return module if code.co_filename.startswith(prefix) and module in LISTED else None


@cache
def _sites_by_offset(code: CodeType) -> dict[int, Site]:
    """The site of every place at which this code can be suspended."""
    module = _module_of(code)
    assert module is not None
    positions = list(code.co_positions())
    found: dict[int, Site] = {}
    kind: Kind = "await"
    for instruction in dis.get_instructions(code):
        if instruction.opname == "GET_AWAITABLE":
            kinds: tuple[Kind, ...] = ("await", "enter", "exit")
            kind = kinds[instruction.arg or 0]
        elif instruction.opname == "GET_ANEXT":
            kind = "next"
        elif instruction.opname == "YIELD_VALUE":
            line, _, column, _ = positions[instruction.offset // 2]
            if line is not None and column is not None:
                found[instruction.offset] = Site(module, line, column, kind)
    # What a generator yields is no place where anything waits.
    return {offset: site for offset, site in found.items() if site in _all_sites()}


@cache
def _all_sites() -> frozenset[Site]:
    return frozenset(sites())


def source_line(site: Site) -> str:
    """The line on which a site stands."""
    return (ROOT / "trigger_engine" / site.module).read_text("utf-8").splitlines()[site.line - 1].strip()
