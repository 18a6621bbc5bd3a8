"""The core is pure: what it says follows from its arguments alone."""

from pathlib import Path

import pytest

from tests.architecture.purity import impurities
from tests.architecture.source_tree import PACKAGE, name, python_files

PURE_FILES = python_files("trigger_engine/_engine", "trigger_engine/_model")


def test_there_is_a_core_to_check() -> None:
    assert PACKAGE / "_engine" / "__init__.py" in PURE_FILES


@pytest.mark.parametrize("path", PURE_FILES, ids=name)
def test_a_core_module_is_pure(path: Path) -> None:
    found = impurities(path.read_text(encoding="utf-8"), filename=name(path))
    assert not found, "\n".join(["the core is pure: take it as an argument, or leave it to the shell", *found])


@pytest.mark.parametrize(
    ("source", "what"),
    [
        ("async def f(): pass", "async def f"),
        ("class A:\n    async def f(self): pass", "async def f"),
        ("async def f():\n    await g()", "waits"),
        ("async def f():\n    async with g(): pass", "waits"),
        ("async def f():\n    return [x async for x in g()]", "waits"),
        ("import asyncio", "imports asyncio"),
        ("import anyio.abc", "imports anyio.abc"),
        ("import threading", "imports threading"),
        ("import socket", "imports socket"),
        ("import sqlite3", "imports sqlite3"),
        ("import json, os.path", "imports os.path"),
        ("from time import monotonic", "imports time"),
        ("from random import random", "imports random"),
        ("from uuid import uuid4", "imports uuid"),
        ("import secrets", "imports secrets"),
        ("import logging", "imports logging"),
        ("import aiosqlite", "imports aiosqlite"),
        ("def f():\n    import os", "imports os"),
        ("from . import matcher", "write it absolute"),
        ("from trigger_engine.backend._contract import EventLog", "imports trigger_engine.backend._contract"),
        ("from trigger_engine import _app", "imports trigger_engine._app"),
        ("from datetime import datetime\ndatetime.now()", "reads the clock"),
        ("import datetime\ndatetime.datetime.utcnow()", "reads the clock"),
        ("from datetime import date, UTC\ndate.today()", "reads the clock"),
        ("def f(clock=datetime.now): pass", "hands out the clock"),
        ("datetime.fromtimestamp(0)", "time zone"),
        ("moment.astimezone()", "time zone"),
        ("croniter('* * * * *')", "give it a start time"),
        ("open('x')", "does I/O"),
        ("print('x')", "does I/O"),
        ("key = hash('x')", "differs from process to process"),
        ("__import__('os')", "imports at run time"),
    ],
)
def test_the_checker_sees(source: str, what: str) -> None:
    assert any(what in line for line in impurities(source)), impurities(source)


@pytest.mark.parametrize(
    "source",
    [
        "from __future__ import annotations",
        "from datetime import UTC, datetime\nmoment = datetime.fromtimestamp(0, UTC).astimezone(UTC)",
        "from collections.abc import Sequence\nfrom hashlib import blake2b\nimport msgspec",
        "from croniter import croniter\nnext_due = croniter('* * * * *', start).get_next()",
        "from trigger_engine import _engine, _model",
        "from trigger_engine._model.entries import Entry\nfrom trigger_engine.errors import ConfigError",
        "class A:\n    def __hash__(self):\n        return hash(self.key)",
        "def f(now): return self.now, now.timestamp(), a.id, a.open()",
    ],
)
def test_the_checker_lets_pass(source: str) -> None:
    assert impurities(source) == []
