"""Which servers a test runs on when they take turns."""

from types import SimpleNamespace
from typing import Any, cast

import pytest

from tests.support.rotation import rotated

NAMES = ("memory", "sqlite", "redis", "mongodb", "rabbitmq")


def item(function: str, backend: str, case: int, *, marked: bool = False, fixture: str = "backend") -> pytest.Item:
    """A test of one case on a backend."""
    found = SimpleNamespace(
        nodeid=f"tests/test_some.py::{function}[{backend}-{case}]",
        callspec=SimpleNamespace(params={fixture: backend, "case": case}),
        get_closest_marker=lambda _: marked,
    )
    # A namespace has no hash.
    return cast(pytest.Item, type("Item", (), vars(found)))


def run_on(items: list[pytest.Item]) -> list[tuple[str, int]]:
    """The backend and the case of each item that runs."""
    kept, left_out = rotated(items)
    assert len(kept) + len(left_out) == len(items)
    return [(params.get("backend") or params["store"], params["case"]) for params in _params(kept)]


def _params(items: list[pytest.Item]) -> list[dict[str, Any]]:
    return [cast(Any, one).callspec.params for one in items]


@pytest.mark.parametrize("fixture", ["backend", "store"])
def test_each_case_runs_on_one_server_and_each_server_has_its_share(fixture: str) -> None:
    kept = run_on([item("test_one", name, case, fixture=fixture) for name in NAMES for case in range(6)])
    for name in ("memory", "sqlite"):
        assert [case for one, case in kept if one == name] == list(range(6))
    on_servers = [(one, case) for one, case in kept if one not in {"memory", "sqlite"}]
    assert sorted(case for _, case in on_servers) == list(range(6))
    assert sorted(one for one, _ in on_servers) == ["mongodb"] * 2 + ["rabbitmq"] * 2 + ["redis"] * 2


def test_functions_of_one_case_begin_with_different_servers() -> None:
    kept = run_on([item(f"test_{number}", name, 0) for number in range(30) for name in NAMES])
    servers = [name for name, _ in kept if name not in {"memory", "sqlite"}]
    assert len(servers) == 30
    assert min(servers.count(name) for name in ("redis", "mongodb", "rabbitmq")) > 3


def test_a_marked_test_runs_on_every_backend() -> None:
    assert run_on([item("test_one", name, 0, marked=True) for name in NAMES]) == [(name, 0) for name in NAMES]


def test_a_case_of_one_server_runs_there() -> None:
    items = [item(f"test_{number}", name, 0) for number in range(6) for name in ("sqlite", "redis")]
    assert rotated(items) == (items, [])


def test_other_tests_all_run(request: pytest.FixtureRequest) -> None:
    assert rotated([request.node]) == ([request.node], [])
