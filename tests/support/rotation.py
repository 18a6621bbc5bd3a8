"""With `--rotate-servers`, as `nox -s tests` runs the suite, a test runs on memory, on SQLite, and on one server.

The conformance suite runs on every server and compares each with the memory log, so a test of what the engine does on
top of a log gains little from the third. The servers take turns by case: each meets a third of the cases, and always
the same ones. Tests with the marker `every_backend` run on all of them: they depend on a server's leases or clock, or
on its races. `nox -s backends` runs every test on every server.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from itertools import groupby

import pytest

from tests.support.backends import SERVER_BACKENDS

OPTION = "--rotate-servers"
MARKER = "every_backend"
_FIXTURES = ("backend", "store")
"""The fixtures by which tests are parametrized with the name of a backend."""


def rotated(items: Sequence[pytest.Item]) -> tuple[list[pytest.Item], list[pytest.Item]]:
    """The items that run, in their order, and the ones that are left out."""
    left_out: set[pytest.Item] = set()
    for function, same in groupby(items, key=lambda item: item.nodeid.partition("[")[0]):
        cases: dict[str, list[pytest.Item]] = {}
        for item in same:
            if server := _server_of(item):
                cases.setdefault(item.nodeid[len(function) :].replace(server, "*", 1), []).append(item)
        for number, case in enumerate(cases.values(), start=zlib.crc32(function.encode())):
            left_out.update(item for item in case if item is not case[number % len(case)])
    return [item for item in items if item not in left_out], [item for item in items if item in left_out]


def _server_of(item: pytest.Item) -> str | None:
    """The server on which a test runs that could run on another; None for all other tests."""
    callspec = getattr(item, "callspec", None)
    if callspec is None or item.get_closest_marker(MARKER):
        return None
    names = [callspec.params.get(fixture) for fixture in _FIXTURES]
    return next((name for name in names if name in SERVER_BACKENDS), None)
