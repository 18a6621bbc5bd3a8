"""`trigger-engine explain`."""

import json

import pytest

from tests.integration.cli.conftest import Invoke, on_shared_backends
from tests.integration.cli.data import emit

pytestmark = [pytest.mark.usefixtures("shop"), on_shared_backends]

GUEST = {"role": "guest"}


def test_explain_prints_why_an_event_did_not_fire(invoke: Invoke) -> None:
    event_id = emit("shop:app", "user.login", GUEST, runner=True)
    result = invoke("explain", event_id, "shop:app")
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert lines[:2] == [f"event user.login  {event_id}", '  payload {"role":"guest"}']
    assert lines[3].startswith("shop.notify  filtered  trigger:shop.notify:")
    assert lines[4:] == ['  payload.role is "guest", expected "admin"']


def test_explain_prints_what_an_event_fired(invoke: Invoke) -> None:
    event_id = emit("shop:app", "user.login", {"role": "admin"}, runner=True)
    shown = invoke("explain", f"event:{event_id}", "shop:app").stdout
    (run,) = [json.loads(line) for line in invoke("runs", "shop:app", "--json").stdout.splitlines()]
    assert "shop.notify  fired" in shown
    assert f"trigger-run:{run['run_id']} started invocation:{run['invocation_id']} of shop.notify" in shown


def test_explain_says_that_no_trigger_listens(invoke: Invoke) -> None:
    event_id = emit("shop:app", "user.logout", runner=True)
    shown = invoke("explain", event_id, "shop:app").stdout
    assert shown.endswith("\nNo trigger listens to user.logout (1 trigger in all; --all shows it).\n")
    every = invoke("explain", event_id, "shop:app", "--all").stdout
    assert "  it listens to event user.login, not to user.logout\n" in every


def test_explain_says_that_no_trigger_has_been_declared(invoke: Invoke) -> None:
    event_id = emit("shop:app", "user.login", GUEST)
    shown = invoke("explain", event_id, "shop:app").stdout
    assert shown.endswith("No trigger has been declared yet: start a runner (trigger-engine run).\n")


def test_explain_can_be_limited_to_one_trigger(invoke: Invoke, monkeypatch: pytest.MonkeyPatch) -> None:
    event_id = emit("shop:app", "user.logout", runner=True)
    found = json.loads(invoke("explain", event_id, "shop.notify", "shop:app", "--json").stdout)
    assert found["outcome"] == "not listening"
    monkeypatch.setenv("TRIGGER_ENGINE_APP", "shop:app")
    for name in ("shop.notify", found["slot"], found["trigger_id"], f"trigger:{found['trigger_id']}"):
        assert json.loads(invoke("explain", event_id, name, "--json").stdout) == found


def test_json_has_an_object_for_each_listening_trigger(invoke: Invoke) -> None:
    event_id = emit("shop:app", "user.login", GUEST, runner=True)
    (found,) = [json.loads(line) for line in invoke("explain", event_id, "shop:app", "--json").stdout.splitlines()]
    assert (found["task_id"], found["outcome"]) == ("shop.notify", "filtered")
    assert found["conditions"][0]["answers"] == [
        {"what": "payload.role", "passed": False, "text": 'is "guest", expected "admin"'}
    ]


def test_unknown_event_is_one_message(invoke: Invoke) -> None:
    result = invoke("explain", "nothing", "shop:app")
    assert result.exit_code == 1
    assert result.stderr.startswith("Error: the history has no entry with the id 'nothing' that triggers can react to")


def test_explain_fits_a_narrow_terminal(invoke: Invoke) -> None:
    event_id = emit("shop:app", "user.login", GUEST, runner=True)
    shown = invoke("explain", event_id, "shop:app", columns=50).stdout
    assert max(map(len, shown.splitlines())) <= 50
