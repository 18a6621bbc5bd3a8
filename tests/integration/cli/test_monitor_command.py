"""`trigger-engine monitor`: address, token, and shutdown."""

import signal
import socket
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from tests.integration.cli.conftest import Invoke, Start


def fetched(url: str, **headers: str) -> tuple[int, str]:
    """Returns the status and text of a response."""
    request = urllib.request.Request(url, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=10) as response:
            return response.status, response.read().decode()
    except urllib.error.HTTPError as answer:
        with answer:
            return answer.code, answer.read().decode()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.usefixtures("shop")
def test_monitor_prints_its_address_and_stops_on_a_signal(start: Start, number: signal.Signals) -> None:
    program = start("monitor", "shop:app", "--port", "0")
    url = program.wait_for(r"(http://127\.0\.0\.1:\d+/)")[1]
    status, page = fetched(url)
    assert status == 200
    assert "No runner is alive" in page
    assert fetched(url, Host="attacker.test")[0] == 400
    with urllib.request.urlopen(f"{url}live?after=0", timeout=10) as stream:
        assert stream.readline().startswith(b"retry:")
        program.send(number)
        assert program.wait() == 0
    assert "Traceback" not in program.text, program.text


@pytest.mark.usefixtures("shop")
def test_address_of_other_interfaces_needs_a_token(start: Start, invoke: Invoke) -> None:
    refused = invoke("monitor", "shop:app", "--host", "0.0.0.0")
    assert refused.exit_code == 1
    assert "TRIGGER_ENGINE_MONITOR_TOKEN" in refused.stderr
    token = {"TRIGGER_ENGINE_MONITOR_TOKEN": "secret-enough"}
    program = start("monitor", "shop:app", "--host", "0.0.0.0", "--port", "0", **token)
    port = program.wait_for(r"http://0\.0\.0\.0:(\d+)/")[1]
    url = f"http://127.0.0.1:{port}/api/overview"
    assert fetched(url)[0] == 401
    assert fetched(url, Authorization="Bearer secret-enough")[0] == 200


@pytest.mark.usefixtures("shop")
def test_port_in_use_is_an_error(invoke: Invoke) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        result = invoke("monitor", "shop:app", "--port", str(other.getsockname()[1]))
    assert result.exit_code == 1
    assert "choose another --port" in result.stderr


@pytest.mark.usefixtures("shop")
def test_invalid_configuration_is_an_error(invoke: Invoke, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRIGGER_ENGINE__SQLITE__SQLITE_DB_PATH", "/nowhere/at/all/shop.db")
    result = invoke("monitor", "shop:app", "--port", "0")
    assert result.exit_code == 1
    assert "/nowhere/at/all" in result.stderr
    assert "Traceback" not in result.stderr


def test_memory_is_rejected(invoke: Invoke, folder: Path) -> None:
    code = 'from trigger_engine import TriggerEngine\napp = TriggerEngine(trigger_cls="MemTrigger")\n'
    (folder / "mem.py").write_text(code)
    result = invoke("monitor", "mem:app")
    assert result.exit_code == 1
    assert "SQLiteTrigger" in result.stderr


@pytest.mark.usefixtures("shop")
def test_missing_packages_are_an_error(invoke: Invoke, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trigger_engine._cli.monitor.find_spec", lambda name: None)
    result = invoke("monitor", "shop:app")
    assert result.exit_code == 1
    assert "pip install 'trigger-engine[monitor]'" in result.stderr
