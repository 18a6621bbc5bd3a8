"""`trigger-engine emit`."""

import json

import pytest

from tests.integration.cli.conftest import Invoke, on_shared_backends
from tests.integration.cli.data import in_app
from trigger_engine import TriggerEngine
from trigger_engine._cli.emit import split_words
from trigger_engine._readmodel.records import EventRecord

pytestmark = [pytest.mark.usefixtures("shop"), on_shared_backends]


async def _events(app: TriggerEngine) -> list[EventRecord]:
    async with app.history() as history:
        return list(await history.events())


def events() -> list[EventRecord]:
    return list(in_app("shop:app", _events))


def test_emit_prints_the_id_of_the_recorded_event(invoke: Invoke) -> None:
    result = invoke("emit", "shop:app", "user.login", '{"user_id": "42", "tags": ["a", 1, null]}')
    (event,) = events()
    assert (result.exit_code, result.stdout, result.stderr) == (0, f"{event.event_id}\n", "")
    assert event.event_code == "user.login"
    assert event.payload == {"user_id": "42", "tags": ["a", 1, None]}


def test_emit_prints_an_object_as_json(invoke: Invoke) -> None:
    printed = json.loads(invoke("emit", "shop:app", "user.login", "--json").stdout)
    assert printed == {"event_id": events()[0].event_id, "event_code": "user.login"}


def test_payload_is_empty_by_default(invoke: Invoke) -> None:
    assert invoke("emit", "shop:app", "user.login").exit_code == 0
    assert events()[0].payload == {}


def test_dash_reads_the_payload_from_standard_input(invoke: Invoke) -> None:
    assert invoke("emit", "shop:app", "user.login", "-", text='{"a": 1}\n').exit_code == 0
    assert events()[0].payload == {"a": 1}


def test_idempotency_key_is_recorded_once(invoke: Invoke) -> None:
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
def test_app_is_optional(words: list[str], parts: tuple[str | None, str, str | None]) -> None:
    assert split_words(words) == parts


@pytest.mark.parametrize("words", [["shop:app"], ["shop.py:app"], ["./shop.py:app", '{"a": 1}'], ["shop:app", "-"]])
def test_app_without_an_event_code_is_an_error(
    invoke: Invoke, monkeypatch: pytest.MonkeyPatch, words: list[str]
) -> None:
    monkeypatch.setenv("TRIGGER_ENGINE_APP", "shop:app")
    result = invoke("emit", *words)
    assert result.exit_code == 2
    assert f"{words[0]!r} is an app: add an event code after it" in " ".join(result.stderr.split())
    assert events() == []


def test_event_code_can_look_like_an_app_if_the_app_is_given(invoke: Invoke) -> None:
    assert invoke("emit", "shop:app", "shop:app").exit_code == 0
    assert events()[0].event_code == "shop:app"


def test_app_of_the_environment_variable_is_used(invoke: Invoke, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRIGGER_ENGINE_APP", "shop:app")
    assert invoke("emit", "user.login", '{"a": 1}').exit_code == 0
    assert events()[0].payload == {"a": 1}


@pytest.mark.parametrize(
    ("payload", "message"),
    [
        ("{", "it is not JSON"),
        ("[1]", "it is not a JSON object"),
        ("42", "it is not a JSON object"),
        ("'x'", "it is not JSON"),
    ],
)
def test_payload_that_is_not_a_json_object_exits_with_2(invoke: Invoke, payload: str, message: str) -> None:
    result = invoke("emit", "shop:app", "user.login", payload)
    assert result.exit_code == 2
    assert message in result.stderr
    assert """write it like '{"user_id": "42"}'""" in result.stderr


def test_invalid_payload_on_standard_input_fails(invoke: Invoke) -> None:
    result = invoke("emit", "shop:app", "user.login", "-", text="nonsense")
    assert result.exit_code == 1
    assert result.stderr.startswith("Error: standard input is not a valid payload: it is not JSON")


def test_payload_that_cannot_be_stored_fails_with_the_reason(invoke: Invoke) -> None:
    result = invoke("emit", "shop:app", "user.login", f'{{"n": {10**30}}}')
    assert result.exit_code == 1
    assert "user.login" in result.stderr
    assert "Traceback" not in result.stderr


def test_memory_is_rejected_with_a_suggestion(invoke: Invoke, monkeypatch: pytest.MonkeyPatch) -> None:
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


def test_unreachable_backend_is_one_message(
    invoke: Invoke, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    variables, message = UNREACHABLE[request.node.callspec.params["store"]]
    for name, value in variables.items():
        monkeypatch.setenv(f"TRIGGER_ENGINE__{name}", value)
    result = invoke("emit", "shop:app", "user.login")
    assert result.exit_code == 1
    assert result.stderr.count("\n") == 1
    assert message in result.stderr
