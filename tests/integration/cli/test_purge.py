"""`trigger-engine purge`."""

import pytest
from typer.testing import CliRunner

from tests.integration.cli.conftest import Invoke, Write, on_shared_backends
from tests.integration.cli.data import emit
from trigger_engine._cli.main import app

pytestmark = [pytest.mark.usefixtures("shop"), on_shared_backends]


def events(invoke: Invoke) -> int:
    return len(invoke("events", "shop:app", "--json").stdout.splitlines())


def test_purge_applies_retention(invoke: Invoke, write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(3):
        emit("shop:app", "user.login", {"n": number}, runner=number == 2)
    monkeypatch.setenv("TRIGGER_ENGINE__EVENT_RETENTION_DAYS", "0.0000001")
    write("later.py", "from shop import *\nfrom trigger_engine import TriggerEngine\napp = TriggerEngine()\n")
    result = invoke("purge", "later:app")
    assert result.exit_code == 0
    assert result.stdout.startswith("Removed ")
    assert not result.stdout.startswith("Removed 0 ")


def test_purge_keeps_recent_entries(invoke: Invoke) -> None:
    emit("shop:app", "user.login", runner=True)
    result = invoke("purge", "shop:app")
    assert result.exit_code == 0
    assert result.stdout.startswith("Removed 0 entries of the app 'shop' in ")
    assert events(invoke) == 1


def test_purge_everything_with_yes_removes_all_data(invoke: Invoke) -> None:
    emit("shop:app", "user.login")
    result = invoke("purge", "shop:app", "--everything", "--yes")
    assert result.exit_code == 0
    assert result.stdout.startswith("Emptied the app 'shop' in ")
    assert events(invoke) == 0


def test_purge_everything_without_a_terminal_needs_yes(invoke: Invoke) -> None:
    emit("shop:app", "user.login")
    result = invoke("purge", "shop:app", "--everything")
    assert result.exit_code == 1
    assert "add --yes to confirm" in result.stderr
    assert events(invoke) == 1


@pytest.mark.parametrize(("answer", "left"), [("y", 0), ("n", 1)])
def test_purge_everything_asks_on_a_terminal(
    invoke: Invoke, monkeypatch: pytest.MonkeyPatch, answer: str, left: int
) -> None:
    emit("shop:app", "user.login")
    monkeypatch.setattr("trigger_engine._cli.purge.is_terminal", lambda: True)
    result = CliRunner().invoke(app, ["purge", "shop:app", "--everything"], input=f"{answer}\n")
    assert "Remove all data of the app 'shop' in " in result.stdout
    assert result.exit_code == left
    assert events(invoke) == left
