"""`trigger-engine purge`."""

import pytest
from typer.testing import CliRunner

from tests.cli.conftest import Invoke, Write, on_shared_backends
from tests.cli.data import emit
from trigger_engine.cli.main import app

pytestmark = [pytest.mark.usefixtures("shop"), on_shared_backends]


def events(invoke: Invoke) -> int:
    return len(invoke("events", "shop:app", "--json").stdout.splitlines())


def test_it_applies_retention_now(invoke: Invoke, write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(3):
        emit("shop:app", "user.login", {"n": number}, runner=number == 2)
    monkeypatch.setenv("TRIGGER_ENGINE__EVENT_RETENTION_DAYS", "0.0000001")
    write("later.py", "from shop import *\nfrom trigger_engine import TriggerEngine\napp = TriggerEngine()\n")
    result = invoke("purge", "later:app")
    assert result.exit_code == 0
    assert result.stdout.startswith("Removed ")
    assert not result.stdout.startswith("Removed 0 ")


def test_what_is_young_stays(invoke: Invoke) -> None:
    emit("shop:app", "user.login", runner=True)
    result = invoke("purge", "shop:app")
    assert result.exit_code == 0
    assert result.stdout.startswith("Removed 0 entries of the app 'shop' in ")
    assert events(invoke) == 1


def test_everything_is_removed_when_that_is_confirmed(invoke: Invoke) -> None:
    emit("shop:app", "user.login")
    result = invoke("purge", "shop:app", "--everything", "--yes")
    assert result.exit_code == 0
    assert result.stdout.startswith("Emptied the app 'shop' in ")
    assert events(invoke) == 0


def test_without_a_terminal_everything_is_refused(invoke: Invoke) -> None:
    emit("shop:app", "user.login")
    result = invoke("purge", "shop:app", "--everything")
    assert result.exit_code == 1
    assert "add --yes when that is meant" in result.stderr
    assert events(invoke) == 1


@pytest.mark.parametrize(("answer", "left"), [("y", 0), ("n", 1)])
def test_on_a_terminal_it_asks(invoke: Invoke, monkeypatch: pytest.MonkeyPatch, answer: str, left: int) -> None:
    emit("shop:app", "user.login")
    monkeypatch.setattr("trigger_engine.cli.purge.is_terminal", lambda: True)
    result = CliRunner().invoke(app, ["purge", "shop:app", "--everything"], input=f"{answer}\n")
    assert "Remove all data of the app 'shop' in " in result.stdout
    assert result.exit_code == left
    assert events(invoke) == left
