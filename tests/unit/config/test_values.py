"""Unknown keys and invalid values: every error names the key, its source, the value and what is allowed."""

from pathlib import Path

import pytest

from tests.unit.config.conftest import ServerBackend, Write
from trigger_engine._config.loading import load_config
from trigger_engine.errors import ConfigError, TriggerEngineError

TABLE = "[tool.trigger_engine]\n"


def refusal(**overrides: object) -> str:
    """The message of the error that loading raises."""
    with pytest.raises(ConfigError) as caught:
        load_config(**overrides)
    assert isinstance(caught.value, TriggerEngineError)
    assert isinstance(caught.value, ValueError)
    return str(caught.value)


def test_unknown_key_of_a_file(write: Write) -> None:
    file = write(f'{TABLE}triger_cls = "MemTrigger"\n')
    assert refusal() == f"unknown key 'triger_cls' in [tool.trigger_engine] of {file}: did you mean 'trigger_cls'?"


def test_unknown_section_of_a_file(write: Write) -> None:
    file = write("[tool.trigger_engine.sqlight]\n")
    assert refusal() == f"unknown key 'sqlight' in [tool.trigger_engine] of {file}: did you mean 'sqlite'?"


def test_unknown_key_of_a_section(write: Write) -> None:
    file = write('[tool.trigger_engine.sqlite]\nsqlite_path = "a.db"\n')
    assert refusal() == (
        f"unknown key 'sqlite_path' in [tool.trigger_engine.sqlite] of {file}: did you mean 'sqlite_db_path'?"
    )


def test_unknown_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRIGGER_ENGINE__TRIGER_CLS", "MemTrigger")
    assert refusal() == (
        "unknown key 'TRIGGER_ENGINE__TRIGER_CLS' in the environment: did you mean 'TRIGGER_ENGINE__TRIGGER_CLS'?"
    )


def test_unknown_nested_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRIGGER_ENGINE__SQLITE__DB_PATH", "a.db")
    assert refusal() == (
        "unknown key 'TRIGGER_ENGINE__SQLITE__DB_PATH' in the environment: "
        "did you mean 'TRIGGER_ENGINE__SQLITE__SQLITE_DB_PATH'?"
    )


@pytest.mark.parametrize("name", ["TRIGGER_ENGINE__", "TRIGGER_ENGINE____A", "TRIGGER_ENGINE__SQLITE__A__B"])
def test_malformed_variable_is_an_unknown_key(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "1")
    assert "unknown key" in refusal()


def test_variable_in_lower_case(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRIGGER_ENGINE__trigger_cls", "MemTrigger")
    assert "write TRIGGER_ENGINE__TRIGGER_CLS" in refusal()


def test_section_and_value_with_the_same_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRIGGER_ENGINE__SQLITE", "a.db")
    assert refusal().startswith("sqlite = 'a.db' (environment variable TRIGGER_ENGINE__SQLITE): ")
    monkeypatch.setenv("TRIGGER_ENGINE__SQLITE__SQLITE_DB_PATH", "a.db")
    assert "cannot both be set" in refusal()


def test_unknown_keyword() -> None:
    assert refusal(concurency=1) == "unknown key 'concurency' in the keywords: did you mean 'concurrency'?"
    assert refusal(sqlite={"synchronus": "FULL"}) == (
        "unknown key 'synchronus' in the keyword sqlite: did you mean 'synchronous'?"
    )


def test_key_without_a_close_match_is_answered_with_all_keys() -> None:
    message = refusal(zzz=1)
    assert "the keys are app_id, " in message
    assert "event_auto_purge_enabled" in message


def test_key_in_the_wrong_table(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    assert refusal(sqlite_db_path="a.db").endswith("write sqlite={'sqlite_db_path': …}")
    assert refusal(sqlite={"concurrency": 1}).endswith("write concurrency=…")
    write(f'{TABLE}sqlite_db_path = "a.db"\n')
    assert refusal().endswith("it belongs to [tool.trigger_engine.sqlite]")
    write("[tool.trigger_engine.sqlite]\nconcurrency = 1\n")
    assert refusal().endswith("it belongs to [tool.trigger_engine]")
    write(TABLE)
    monkeypatch.setenv("TRIGGER_ENGINE__SQLITE_DB_PATH", "a.db")
    assert refusal().endswith("write TRIGGER_ENGINE__SQLITE__SQLITE_DB_PATH")


@pytest.mark.parametrize(
    ("key", "value", "allowed"),
    [
        ("concurrency", 0, "a whole number of invocations of at least 1 and at most 1,000,000,000"),
        ("concurrency", -5, "a whole number of invocations of at least 1 and"),
        ("concurrency", "5", "a whole number of invocations"),
        ("concurrency", 1.5, "a whole number of invocations"),
        ("concurrency", True, "a whole number of invocations"),
        ("concurrency", 10**30, "a whole number of invocations"),
        ("max_recoveries", -1, "a whole number of recoveries of at least 0 and"),
        ("lease_ttl", 0, "a number of seconds above 0 and at most 31,536,000"),
        ("lease_ttl", -1.5, "a number of seconds above 0 and"),
        ("lease_ttl", float("nan"), "a number of seconds above 0 and"),
        ("lease_ttl", float("inf"), "a number of seconds above 0 and"),
        ("shutdown_timeout", -1, "a number of seconds of at least 0 and"),
        ("event_retention_days", -1, "a number of days of at least 0 and"),
        ("key_retention_days", 0, "a number of days above 0 and"),
        ("event_auto_purge_enabled", 1, "true or false"),
        ("event_auto_purge_enabled", "yes", "true or false"),
        ("runner_cls", "threadrunner", "one of 'ProcessRunner', 'ThreadRunner'"),
        ("version", 5, "a string"),
        ("queues", "slow", "a list of queue names"),
        ("queues", [1], "a list of queue names"),
        ("queues", [""], "a list of queue names"),
        ("queues", {"a": 1}, "a list of queue names"),
        ("trigger_task_modules", "tasks", "a list of dotted module names, such as ['tasks']"),
        ("trigger_task_modules", ["src/tasks.py"], "a list of dotted module names"),
        ("trigger_task_modules", ["tasks:app"], "a list of dotted module names"),
        ("trigger_cls", "", "the name of a backend"),
        ("trigger_cls", 5, "the name of a backend"),
        ("app_id", "", "a name of 1 to 200 printable characters"),
        ("app_id", " shop", "a name of 1 to 200 printable characters"),
        ("app_id", "a\nb", "a name of 1 to 200 printable characters"),
        ("app_id", "a" * 201, "a name of 1 to 200 printable characters"),
        ("app_id", "\ud800", "a name of 1 to 200 printable characters"),
        ("app", "tasks", "an import path such as 'tasks:app'"),
        ("app", "tasks:", "an import path such as 'tasks:app'"),
        ("app", "src/tasks:app", "an import path such as 'tasks:app'"),
        ("broker_cls", 5, "a name that begins with the family of trigger_cls"),
    ],
)
def test_wrong_value(key: str, value: object, allowed: str) -> None:
    message = refusal(**{key: value})
    assert message.startswith(f"{key} = {value!r}"[:99])
    assert f"(keyword {key}): must be {allowed}" in message


def test_wrong_value_of_a_file(write: Write) -> None:
    file = write(f"{TABLE}lease_ttl = 2020-01-01\n")
    assert refusal().startswith(f"lease_ttl = datetime.date(2020, 1, 1) ({file}): must be a number of seconds above 0")


def test_table_instead_of_a_value(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    write("[tool.trigger_engine.concurrency]\na = 1\n")
    assert refusal().startswith("concurrency = {'a': 1} (")
    monkeypatch.setenv("TRIGGER_ENGINE__CONCURRENCY__A", "1")
    assert refusal().startswith("concurrency = {'a': '1'} (")


@pytest.mark.parametrize(
    ("key", "text"),
    [
        ("CONCURRENCY", ""),
        ("CONCURRENCY", "many"),
        ("LEASE_TTL", "nan"),
        ("LEASE_TTL", "5s"),
        ("EVENT_AUTO_PURGE_ENABLED", "maybe"),
        ("QUEUES", '["a"'),
        ("QUEUES", "[1, 2]"),
        ("QUEUES", "[" * 5000),
        ("VERSION", "\udcff"),
    ],
)
def test_wrong_variable(key: str, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(f"TRIGGER_ENGINE__{key}", text)
    assert f"(environment variable TRIGGER_ENGINE__{key}): must be " in refusal()


def test_section_that_is_not_a_table(write: Write) -> None:
    write(f"{TABLE}sqlite = 5\n")
    assert refusal().startswith("sqlite = 5 (")
    write(f"{TABLE}redis = 5\n")
    assert refusal().startswith("redis = 5 (")


def test_wrong_value_of_a_section(write: Write, server: type[ServerBackend]) -> None:
    file = write(f'{TABLE}trigger_cls = "ServerTrigger"\napp_id = "a"\n[tool.trigger_engine.server]\nbatch = 0\n')
    assert refusal() == f"server.batch = 0 ({file}): must be a whole number of at least 1 and at most 1,000"


def test_error_of_a_backend_names_section_and_sources(server: type[ServerBackend]) -> None:
    message = refusal(trigger_cls="ServerTrigger", app_id="a", server={"url": "http://x"})
    assert message.startswith("[tool.trigger_engine.server]: url must begin with redis://; ")
    assert "url (keyword server['url'])" in message


def test_no_message_shows_a_password(server: type[ServerBackend]) -> None:
    where = {"trigger_cls": "ServerTrigger", "app_id": "a"}
    secret = ["redis://me:hidden@host/0?password=hidden&db=1"]
    message = refusal(**where, server={"url": secret})
    assert "hidden" not in message
    assert "redis://***@host/0?password=***&db=1" in message
    assert "hidden" not in refusal(**where, server={"password": ["hidden"]})


def test_long_value_is_shortened() -> None:
    assert len(refusal(concurrency="9" * 10_000)) < 300


def test_unknown_backend_is_refused_with_its_source(write: Write) -> None:
    file = write(f'{TABLE}trigger_cls = "SqliteTrigger"\n')
    message = refusal()
    assert "SqliteTrigger" in message
    assert str(file) in message


@pytest.mark.parametrize("section", ["sqlite", "memory", "redis", "mongodb", "rabbitmq"])
def test_section_of_a_backend_that_is_not_selected_is_not_read(
    section: str, write: Write, monkeypatch: pytest.MonkeyPatch, server: type[ServerBackend]
) -> None:
    write(f"[tool.trigger_engine.{section}]\nanything = -1\n")
    monkeypatch.setenv(f"TRIGGER_ENGINE__{section.upper()}__MORE", "x")
    config = load_config(trigger_cls="ServerTrigger", app_id="a", **{section: {"most": 1}})
    assert isinstance(config.backend_settings, server.settings_type)


def test_section_of_an_unselected_plugin_is_unknown(server: type[ServerBackend]) -> None:
    assert "unknown key 'server'" in refusal(server={"batch": 1})


def test_valid_value_of_every_type_is_accepted(folder: Path) -> None:
    settings = load_config(
        lease_ttl=7, queues=["a"], trigger_task_modules=("shop.tasks", "ünï"), app_id="Läden & Söhne", max_recoveries=0
    ).settings
    assert settings.lease_ttl == 7.0
    assert settings.queues == ("a",)
    assert settings.trigger_task_modules == ("shop.tasks", "ünï")
    assert settings.app_id == "Läden & Söhne"
