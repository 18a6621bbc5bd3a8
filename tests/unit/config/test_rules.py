"""Rules that involve several keys: app id, families, runners, intervals."""

from pathlib import Path

import pytest

from tests.unit.config.conftest import ServerBackend, Write
from tests.unit.config.test_values import refusal
from trigger_engine._config.loading import check_shared, load_config
from trigger_engine._config.settings import FAMILY_KEYS
from trigger_engine.errors import BackendNotInstalled, ConfigError

TABLE = "[tool.trigger_engine]\n"


def app_id(**overrides: object) -> tuple[str, str]:
    config = load_config(**overrides)
    return config.settings.app_id, config.sources["app_id"]


def test_app_id_that_is_set_is_used(write: Write) -> None:
    file = write(f'[project]\nname = "project"\n{TABLE}app_id = "mine"\n')
    assert app_id() == ("mine", str(file))


def test_default_app_id_is_the_name_of_the_configured_project(
    write: Write, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = write(f'[project]\nname = "project"\n{TABLE}')
    write('[project]\nname = "inner"\n', "src/pyproject.toml")
    monkeypatch.chdir(folder / "src")
    assert app_id() == ("project", f"[project].name of {file}")


def test_default_app_id_without_a_configuration_file_is_the_name_of_the_nearest_project(
    write: Write, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = write('[project]\nname = "project"\n')
    (folder / "src").mkdir()
    monkeypatch.chdir(folder / "src")
    assert app_id() == ("project", f"[project].name of {file}")


def test_named_file_without_a_project_belongs_to_the_surrounding_project(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = write('[project]\nname = "project"\n')
    write(TABLE, "deploy/production.toml")
    monkeypatch.setenv("TRIGGER_ENGINE_CONFIG", "deploy/production.toml")
    assert app_id() == ("project", f"[project].name of {file}")


@pytest.mark.parametrize("project", ["", '[project]\nversion = "1"\n', "[project]\nname = 5\n", "project = 5\n"])
def test_default_app_id_without_a_project_is_the_name_of_the_folder_of_the_file(
    project: str, write: Write, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(f"{project}{TABLE}")
    (folder / "src").mkdir()
    monkeypatch.chdir(folder / "src")
    assert app_id() == ("shop", f"name of the folder {folder}")


def test_default_app_id_without_a_file_is_the_name_of_the_current_folder(folder: Path) -> None:
    assert app_id() == ("shop", f"name of the folder {folder}")


def test_root_folder_has_a_default_app_id(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir("/")
    assert app_id()[0] == "trigger-engine"


def test_folder_name_that_is_not_a_valid_app_id_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "a\nb").mkdir()
    monkeypatch.chdir(folder / "a\nb")
    assert "set app_id" in refusal()


def test_server_backend_requires_the_app_id(write: Write, server: type[ServerBackend]) -> None:
    write(f'[project]\nname = "project"\n{TABLE}trigger_cls = "ServerTrigger"\n')
    message = refusal()
    assert "ServerTrigger requires it" in message
    assert "TRIGGER_ENGINE__APP_ID" in message
    assert app_id(app_id="mine") == ("mine", "keyword app_id")


@pytest.mark.parametrize("key", FAMILY_KEYS)
def test_other_component_names_must_belong_to_the_family_of_the_backend(key: str, write: Write) -> None:
    file = write(f'{TABLE}{key} = "SQLiteWhatever"\n')
    assert getattr(load_config().settings, key) == "SQLiteWhatever"
    message = refusal(trigger_cls="MemTrigger")
    assert message.startswith(
        f"{key} = 'SQLiteWhatever' ({file}) does not belong to the family of trigger_cls = 'MemTrigger' ("
    )
    assert "begins with 'Mem', or remove" in message


def test_configuration_with_every_component_of_sqlite_is_accepted(write: Write, folder: Path) -> None:
    write("""
        [tool.trigger_engine]
        app_id = "trigger_demo"
        orchestrator_cls = "SQLiteOrchestrator"
        broker_cls = "SQLiteBroker"
        state_backend_cls = "SQLiteStateBackend"
        client_data_store_cls = "SQLiteClientDataStore"
        trigger_cls = "SQLiteTrigger"
        runner_cls = "ThreadRunner"
        trigger_task_modules = ["tasks"]
        event_retention_days = 7
        event_max_records = 0
        trigger_run_max_records = 0
        event_auto_purge_enabled = true

        [tool.trigger_engine.sqlite]
        sqlite_db_path = "trigger_demo.db"
    """)
    config = load_config()
    assert config.settings.app_id == "trigger_demo"
    assert config.settings.trigger_task_modules == ("tasks",)
    assert config.backend_settings.sqlite_db_path == str(folder / "trigger_demo.db")


def test_one_variable_selects_memory(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    write(f'{TABLE}app_id = "my_app"\ntrigger_task_modules = ["tasks"]\n')
    monkeypatch.setenv("TRIGGER_ENGINE__TRIGGER_CLS", "MemTrigger")
    assert load_config().backend_type.name == "MemTrigger"


def test_missing_backend_is_refused_with_its_source(no_plugins: None, write: Write) -> None:
    file = write(f'{TABLE}trigger_cls = "RedisTrigger"\n')
    with pytest.raises(BackendNotInstalled) as caught:
        load_config()
    assert str(file) in str(caught.value)
    assert "pip install trigger-engine" in str(caught.value)


def test_memory_is_refused_for_a_process_runner() -> None:
    message = refusal(trigger_cls="MemTrigger", runner_cls="ProcessRunner")
    assert message.startswith("runner_cls = 'ProcessRunner' (keyword runner_cls) ")
    assert "MemTrigger" in message
    assert "SQLiteTrigger" in message
    assert load_config(runner_cls="ProcessRunner").settings.runner_cls == "ProcessRunner"


def test_memory_is_refused_for_several_processes() -> None:
    check_shared(load_config(), what="--processes 4")
    with pytest.raises(ConfigError, match=r"^--processes 4 needs .* MemTrigger .*SQLiteTrigger"):
        check_shared(load_config(trigger_cls="MemTrigger"), what="--processes 4")


@pytest.mark.parametrize("ttl", [1, 2])
def test_heartbeat_ttl_must_exceed_its_interval(ttl: float) -> None:
    assert refusal(heartbeat_ttl=ttl) == (
        f"heartbeat_ttl = {ttl:.1f} (keyword heartbeat_ttl) must be more than heartbeat_interval = 2.0 (default)"
    )
    assert load_config(heartbeat_ttl=2.5).settings.heartbeat_ttl == 2.5


def test_longest_retry_delay_must_not_be_below_the_first() -> None:
    assert "must be at least retry_backoff = 400.0 (keyword retry_backoff)" in refusal(retry_backoff=400)
    assert load_config(retry_backoff=300).settings.retry_backoff == 300.0


def test_repr_of_the_configuration_is_short_and_has_no_secrets(server: type[ServerBackend]) -> None:
    config = load_config(trigger_cls="ServerTrigger", app_id="mine", server={"password": "hidden"})
    assert repr(config) == "Config(app_id='mine', ServerTrigger, file=None)"
