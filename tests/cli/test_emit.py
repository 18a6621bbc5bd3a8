"""`trigger-engine emit`."""

import json

import pytest

from tests.cli.conftest import Invoke, on_shared_backends
from tests.cli.data import in_app
from trigger_engine import TriggerEngine
from trigger_engine.cli.emit import split_words
from trigger_engine.history import EventRecord

pytestmark = [pytest.mark.usefixtures("shop"), on_shared_backends]


async def _events(app: TriggerEngine) -> list[EventRecord]:
    async with app.history() as history:
        return list(await history.events())


def events() -> list[EventRecord]:
    return list(in_app("shop:app", _events))


def test_it_prints_the_id_of_the_event_that_is_in_the_log(invoke: Invoke) -> None:
    result = invoke("emit", "shop:app", "user.login", '{"user_id": "42", "tags": ["a", 1, null]}')
    (event,) = events()
    assert (result.exit_code, result.stdout, result.stderr) == (0, f"{event.event_id}\n", "")
    assert event.event_code == "user.login"
    assert event.payload == {"user_id": "42", "tags": ["a", 1, None]}


def test_with_json_it_prints_an_object(invoke: Invoke) -> None:
    printed = json.loads(invoke("emit", "shop:app", "user.login", "--json").stdout)
    assert printed == {"event_id": events()[0].event_id, "event_code": "user.login"}


def test_without_a_payload_it_is_empty(invoke: Invoke) -> None:
    assert invoke("emit", "shop:app", "user.login").exit_code == 0
    assert events()[0].payload == {}


def test_a_dash_reads_the_payload_from_standard_input(invoke: Invoke) -> None:
    assert invoke("emit", "shop:app", "user.login", "-", text='{"a": 1}\n').exit_code == 0
    assert events()[0].payload == {"a": 1}


def test_an_idempotency_key_counts_once(invoke: Invoke) -> None:
    first = invoke("emit", "shop:app", "paid", '{"n": 1}', "--idempotency-key", "order-42")
    second = invoke("emit", "shop:app", "paid", '{"n": 2}', "--idempotency-key", "order-42")
    assert first.stdout == second.stdout
    assert [event.payload for event in events()] == [{"n": 1}]


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (["user.login"], (None, "user.login", None)),
        (["user:login", '{"a": 1}'], (None, "user:login", '{"a": 1}')),
        (["user.login", "-"], (None, "user.login", "-")),
        (["user.login", " [1]"], (None, "user.login", " [1]")),
        (["shop:app", "user.login"], ("shop:app", "user.login", None)),
        (["shop:app", "user.login", "5"], ("shop:app", "user.login", "5")),
    ],
)
def test_the_app_may_be_left_out(words: list[str], parts: tuple[str | None, str, str | None]) -> None:
    assert split_words(words) == parts


@pytest.mark.parametrize("words", [["shop:app"], ["shop.py:app"], ["./shop.py:app", '{"a": 1}'], ["shop:app", "-"]])
def test_an_app_without_an_event_is_no_event(invoke: Invoke, monkeypatch: pytest.MonkeyPatch, words: list[str]) -> None:
    monkeypatch.setenv("TRIGGER_ENGINE_APP", "shop:app")
    result = invoke("emit", *words)
    assert result.exit_code == 2
    assert f"{words[0]!r} names an app and no event: give an event code after it" in " ".join(result.stderr.split())
    assert events() == []


def test_an_event_may_have_the_name_of_an_app_where_the_app_is_named(invoke: Invoke) -> None:
    assert invoke("emit", "shop:app", "shop:app").exit_code == 0
    assert events()[0].event_code == "shop:app"


def test_the_app_of_the_environment_is_used(invoke: Invoke, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRIGGER_ENGINE_APP", "shop:app")
    assert invoke("emit", "user.login", '{"a": 1}').exit_code == 0
    assert events()[0].payload == {"a": 1}


@pytest.mark.parametrize(
    ("payload", "message"),
    [
        ("{", "it is not JSON"),
        ("[1]", "it is no JSON object"),
        ("42", "it is no JSON object"),
        ("'x'", "it is not JSON"),
    ],
)
def test_a_payload_that_is_no_json_object_is_a_wrong_call(invoke: Invoke, payload: str, message: str) -> None:
    result = invoke("emit", "shop:app", "user.login", payload)
    assert result.exit_code == 2
    assert message in result.stderr
    assert """write it like '{"user_id": "42"}'""" in result.stderr


def test_a_bad_payload_on_standard_input_fails(invoke: Invoke) -> None:
    result = invoke("emit", "shop:app", "user.login", "-", text="nonsense")
    assert result.exit_code == 1
    assert result.stderr.startswith("Error: standard input is not a payload: it is not JSON")


def test_a_payload_that_no_log_can_hold_fails_with_the_reason(invoke: Invoke) -> None:
    result = invoke("emit", "shop:app", "user.login", f'{{"n": {10**30}}}')
    assert result.exit_code == 1
    assert "user.login" in result.stderr
    assert "Traceback" not in result.stderr


def test_memory_is_refused_with_the_backend_that_works(invoke: Invoke, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRIGGER_ENGINE__TRIGGER_CLS", "MemTrigger")
    result = invoke("emit", "shop:app", "user.login")
    assert result.exit_code == 1
    assert 'set trigger_cls = "SQLiteTrigger"' in result.stderr


UNREACHABLE = {
    "sqlite": ({"SQLITE__SQLITE_DB_PATH": "missing/folder/shop.db"}, "missing/folder does not exist"),
    "rabbitmq": (
        {"RABBITMQ__URL": "amqp://guest:guest@127.0.0.1:1/", "RABBITMQ__TIMEOUT": "0.1"},
        "127.0.0.1:1/ cannot be used",
    ),
    "redis": ({"REDIS__URL": "redis://127.0.0.1:1", "REDIS__TIMEOUT": "0.1"}, "127.0.0.1:1 cannot be used"),
    "mongodb": ({"MONGODB__URL": "mongodb://127.0.0.1:1", "MONGODB__TIMEOUT": "0.1"}, "127.0.0.1:1 cannot be used"),
}


def test_an_unreachable_backend_is_one_message(
    invoke: Invoke, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    variables, told = UNREACHABLE[request.node.callspec.params["store"]]
    for name, value in variables.items():
        monkeypatch.setenv(f"TRIGGER_ENGINE__{name}", value)
    result = invoke("emit", "shop:app", "user.login")
    assert result.exit_code == 1
    assert result.stderr.count("\n") == 1
    assert told in result.stderr
