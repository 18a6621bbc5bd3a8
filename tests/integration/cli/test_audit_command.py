"""`trigger-engine audit`."""

import json
import sqlite3
from pathlib import Path

import pytest

from tests.integration.cli.conftest import Invoke
from tests.integration.cli.data import emit

pytestmark = pytest.mark.usefixtures("shop")


def test_audit_prints_counts_and_that_the_log_is_consistent(invoke: Invoke) -> None:
    emit("shop:app", "user.login", {"role": "admin"}, runner=True)
    emit("shop:app", "user.login", {"role": "guest"}, runner=True)
    result = invoke("audit", "shop:app")
    assert result.exit_code == 0
    assert result.stderr == ""
    lines = result.stdout.splitlines()
    assert lines[0].startswith("Read the log from 1 to ")
    assert lines[-1] == "The log is consistent."
    at = lines.index("outcomes, one for each entry and trigger listening to it")
    assert lines[at + 1 : at + 3] == ["  1  fired", "  1  filtered"]


def test_json_has_the_whole_report(invoke: Invoke) -> None:
    emit("shop:app", "user.login", {"role": "admin"}, runner=True)
    printed = json.loads(invoke("audit", "shop:app", "--json").stdout)
    assert printed["consistent"] is True
    assert printed["report"]["outcomes"] == {"fired": 1}
    assert printed["report"]["violations"] == []


def test_audit_exits_with_1_if_an_entry_is_missing(invoke: Invoke, folder: Path) -> None:
    event_id = emit("shop:app", "user.login", {"role": "admin"}, runner=True)
    with sqlite3.connect(folder / "trigger_engine.db") as database:
        assert database.execute("DELETE FROM entries WHERE id = ?", (event_id,)).rowcount == 1
    database.close()
    result = invoke("audit", "shop:app")
    assert result.exit_code == 1
    assert "a run without a cause in the log" in result.stdout
    assert result.stdout.splitlines()[-1] == "2 violations found."
    as_json = invoke("audit", "shop:app", "--json")
    assert as_json.exit_code == 1
    assert json.loads(as_json.stdout)["report"]["violation_counts"] == {"positions": 1, "runs": 1}


def test_audit_fits_a_narrow_terminal(invoke: Invoke) -> None:
    emit("shop:app", "user.login", {"role": "admin"}, runner=True)
    shown = invoke("audit", "shop:app", columns=50).stdout
    assert max(map(len, shown.splitlines())) <= 50
