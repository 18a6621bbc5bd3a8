"""`trigger-engine audit`."""

import json
import sqlite3
from pathlib import Path

import pytest

from tests.cli.conftest import Invoke
from tests.cli.data import emit

pytestmark = pytest.mark.usefixtures("shop")


def test_it_says_that_the_books_balance_and_what_was_counted(invoke: Invoke) -> None:
    emit("shop:app", "user.login", {"role": "admin"}, runner=True)
    emit("shop:app", "user.login", {"role": "guest"}, runner=True)
    result = invoke("audit", "shop:app")
    assert result.exit_code == 0
    assert result.stderr == ""
    lines = result.stdout.splitlines()
    assert lines[0].startswith("Read the log from 1 to ")
    assert lines[-1] == "The books balance."
    at = lines.index("outcomes, one for each entry and trigger that listens to it")
    assert lines[at + 1 : at + 3] == ["  1  fired", "  1  filtered"]


def test_json_has_the_whole_report(invoke: Invoke) -> None:
    emit("shop:app", "user.login", {"role": "admin"}, runner=True)
    said = json.loads(invoke("audit", "shop:app", "--json").stdout)
    assert said["balances"] is True
    assert said["report"]["outcomes"] == {"fired": 1}
    assert said["report"]["offences"] == []


def test_it_exits_with_1_when_an_entry_was_lost(invoke: Invoke, folder: Path) -> None:
    event_id = emit("shop:app", "user.login", {"role": "admin"}, runner=True)
    with sqlite3.connect(folder / "trigger_engine.db") as database:
        assert database.execute("DELETE FROM entries WHERE id = ?", (event_id,)).rowcount == 1
    database.close()
    result = invoke("audit", "shop:app")
    assert result.exit_code == 1
    assert "a run that nothing in the log causes" in result.stdout
    assert result.stdout.splitlines()[-1] == "2 things are off."
    said = invoke("audit", "shop:app", "--json")
    assert said.exit_code == 1
    assert json.loads(said.stdout)["report"]["offence_counts"] == {"positions": 1, "runs": 1}


def test_it_can_be_read_on_a_narrow_terminal(invoke: Invoke) -> None:
    emit("shop:app", "user.login", {"role": "admin"}, runner=True)
    shown = invoke("audit", "shop:app", columns=50).stdout
    assert max(map(len, shown.splitlines())) <= 50
