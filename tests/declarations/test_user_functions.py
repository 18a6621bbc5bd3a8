"""How the user's functions are named, and how their code is told apart."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.declarations import sample_functions
from trigger_engine.user_functions import check_function, code_hash, function_name


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


def test_a_function_is_named_by_module_and_qualname() -> None:
    assert function_name(sample_functions.is_large) == "tests.declarations.sample_functions.is_large"
    assert function_name(sample_functions.decorated) == "tests.declarations.sample_functions.decorated"


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
def test_other_code_has_another_hash(one: str, other: str) -> None:
    assert code_hash(compiled(one)) != code_hash(compiled(other))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("def f(x): return x > 1", "\n\n# a comment\ndef f(x):\n    return x > 1"),
        ("def f(x): return x in {'b', 'a'}", "def f(x): return x in {'a', 'b'}"),
    ],
)
def test_the_same_code_has_the_same_hash_wherever_it_stands(one: str, other: str) -> None:
    assert code_hash(compiled(one)) == code_hash(compiled(other))


def test_a_hash_does_not_change_while_the_code_runs() -> None:
    function = compiled("def f(x):\n    return [y + 1 for y in x]")
    before = code_hash(function)
    for _ in range(200):
        function([1, 2, 3])
    assert code_hash(function) == before
