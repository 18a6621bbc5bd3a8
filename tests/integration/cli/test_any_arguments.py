"""With any arguments, the program works or reports an error; it never crashes."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.integration.cli.conftest import Invoke
from trigger_engine._cli.main import COMMANDS

SERVING = {"run", "monitor"}
"""These run until they are stopped."""
WORDS = [
    *("shop:app", "shop", "shop.py:app", "nothing:app", "shop:nothing", ":", "shop:", ":app", "..", "/", "a" * 300),
    *(
        "user.login",
        "{}",
        "[]",
        '{"a": 1}',
        "{",
        "-",
        "--",
        "",
        " ",
        "0",
        "-1",
        "1e999",
        "2026-11-24",
        "2h",
        "-5m",
        "now",
    ),
    *("cancel", "rerun", "success", "SUCCESS", "0" * 32, "event:1", "%", "'", '"', "\\", "é", "\udcff", "\u202e"),
]
OPTIONS = [
    *(
        "--json",
        "--limit",
        "--cursor",
        "--since",
        "--until",
        "--code",
        "--status",
        "--task",
        "--all",
        "--yes",
        "--help",
    ),
    *("--idempotency-key", "--everything", "--nonsense", "-x", "--limit=5", "--limit=x", "--since=1d", "--cursor=x"),
]
words = st.sampled_from(WORDS) | st.sampled_from(OPTIONS) | st.text(max_size=10)


@given(command=st.sampled_from(sorted(COMMANDS.keys() - SERVING)), rest=st.lists(words, max_size=5))
@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@example(command="events", rest=["shop:app", "--cursor", "\udcff"])
@example(command="events", rest=["shop:app", "--since", "9999999999999d"])
@example(command="invocations", rest=["cancel", "\udcff", "shop:app"])
@example(command="explain", rest=["\udcff", "\udcff", "shop:app"])
@example(command="emit", rest=["shop:app", "\udcff", '{"\\ud800": 1}'])
@example(command="emit", rest=["shop:app", "a", "[" * 20_000])
@example(command="triggers", rest=["\0:app"])
def test_any_arguments(shop: Path, invoke: Invoke, command: str, rest: list[str]) -> None:
    result = invoke(command, *rest, text="{}")
    if not isinstance(result.exception, SystemExit | None):
        pytest.fail(f"trigger-engine {command} {rest}: {result.exception!r}")
    assert result.exit_code in {0, 1, 2}, result.output
