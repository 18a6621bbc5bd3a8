"""Names and code hashes of user functions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.unit.declare import sample_functions
from trigger_engine._declare.user_functions import check_function, code_hash, function_name


def compiled(source: str) -> Callable[..., Any]:
    namespace: dict[str, Any] = {}
    exec(source, namespace)
    function: Callable[..., Any] = namespace["f"]
    return function


@pytest.mark.parametrize(
    "function", [sample_functions.is_large, sample_functions.decorated, sample_functions.from_event]
)
def test_module_level_functions_are_accepted(function: Callable[..., Any]) -> None:
    assert check_function(function, where="here", gets="ctx") is function


def test_function_is_named_by_module_and_qualname() -> None:
    assert function_name(sample_functions.is_large) == "tests.unit.declare.sample_functions.is_large"
    assert function_name(sample_functions.decorated) == "tests.unit.declare.sample_functions.decorated"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("def f(x): return x > 1", "def f(x): return x > 2"),
        ("def f(x): return x.a", "def f(x): return x.b"),
        ("def f(x): return x > 1", "def f(x): return x < 1"),
        ("def f(x): return x in {1, 2}", "def f(x): return x in {1, 3}"),
        ("def f(x): return x in ((1, 2), 3)", "def f(x): return x in (1, (2, 3))"),
        ("def f(x): return [y for y in x if y > 1]", "def f(x): return [y for y in x if y > 2]"),
        ("def f(x): return (lambda y: 1)(x)", "def f(x): return (lambda y: 2)(x)"),
        ("def f(x): return 1", "def f(x): return 1.0"),
        ("def f(x): return 1", "def f(x): return True"),
    ],
)
def test_different_code_has_a_different_hash(one: str, other: str) -> None:
    assert code_hash(compiled(one)) != code_hash(compiled(other))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("def f(x): return x > 1", "\n\n# a comment\ndef f(x):\n    return x > 1"),
        ("def f(x): return x in {'b', 'a'}", "def f(x): return x in {'a', 'b'}"),
    ],
)
def test_same_code_has_the_same_hash_in_any_place(one: str, other: str) -> None:
    assert code_hash(compiled(one)) == code_hash(compiled(other))


def test_hash_does_not_change_while_the_code_runs() -> None:
    function = compiled("def f(x):\n    return [y + 1 for y in x]")
    before = code_hash(function)
    for _ in range(200):
        function([1, 2, 3])
    assert code_hash(function) == before
