"""The sources of values and their precedence."""

import os
from pathlib import Path

import pytest

from tests.unit.config.conftest import ServerBackend, Write
from trigger_engine._config.loading import load_config
from trigger_engine._config.settings import Settings
from trigger_engine.errors import ConfigError

TABLE = "[tool.trigger_engine]\n"


def test_defaults_apply_without_any_source(folder: Path) -> None:
    config = load_config()
    assert config.settings.trigger_cls == "SQLiteTrigger"
    assert config.backend_type.name == "SQLiteTrigger"
    assert config.backend_settings.sqlite_db_path == str(folder / "trigger_engine.db")
    assert config.config_file is None
    assert config.root == folder
    assert {key: source for key, source in config.sources.items() if source != "default"} == {
        "app_id": f"name of the folder {folder}"
    }
    assert set(Settings.__struct_fields__) | {"sqlite.sqlite_db_path"} <= set(config.sources)


def test_loading_creates_nothing(folder: Path) -> None:
    load_config()
    assert list(folder.iterdir()) == []


def test_keywords_override_the_environment_which_overrides_the_file(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = write(f"{TABLE}concurrency = 1\nprocess_workers = 1\nmax_backlog = 1\n")
    monkeypatch.setenv("TRIGGER_ENGINE__CONCURRENCY", "2")
    monkeypatch.setenv("TRIGGER_ENGINE__PROCESS_WORKERS", "2")
    config = load_config(concurrency=3)
    settings = config.settings
    assert (settings.concurrency, settings.process_workers, settings.max_backlog) == (3, 2, 1)
    assert config.sources["concurrency"] == "keyword concurrency"
    assert config.sources["process_workers"] == "environment variable TRIGGER_ENGINE__PROCESS_WORKERS"
    assert config.sources["max_backlog"] == str(file)
    assert config.sources["max_chain_length"] == "default"


def test_sections_are_merged_key_by_key(
    write: Write, monkeypatch: pytest.MonkeyPatch, server: type[ServerBackend]
) -> None:
    file = write(f'{TABLE}trigger_cls = "ServerTrigger"\napp_id = "a"\n[tool.trigger_engine.server]\nbatch = 1\n')
    monkeypatch.setenv("TRIGGER_ENGINE__SERVER__URL", "redis://env")
    monkeypatch.setenv("TRIGGER_ENGINE__SERVER__HOSTS", "a, b")
    config = load_config(server={"hosts": ["c"], "url": None})
    assert config.backend_settings.batch == 1
    assert config.backend_settings.url == "redis://env"
    assert config.backend_settings.hosts == ("c",)
    assert config.sources["server.batch"] == str(file)
    assert config.sources["server.url"] == "environment variable TRIGGER_ENGINE__SERVER__URL"
    assert config.sources["server.hosts"] == "keyword server['hosts']"
    assert config.sources["server.options"] == "default"


def test_keyword_that_is_none_counts_as_not_given(write: Write) -> None:
    write(f'{TABLE}app_id = "shop"\n')
    assert load_config(app_id=None).settings.app_id == "shop"


def test_nearest_file_with_the_table_is_used(write: Write, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    outer = write(f"{TABLE}concurrency = 7\n")
    write('[project]\nname = "inner"\n', "src/pyproject.toml")
    below = folder / "src" / "deep"
    below.mkdir()
    monkeypatch.chdir(below)
    config = load_config()
    assert (config.config_file, config.root) == (outer, folder)
    assert config.settings.concurrency == 7
    inner = write(f"{TABLE}concurrency = 8\n", "src/pyproject.toml")
    assert load_config().config_file == inner


def test_empty_table_is_a_configuration(write: Write) -> None:
    file = write(TABLE)
    assert load_config().config_file == file


def test_environment_names_another_file(write: Write, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(f"{TABLE}concurrency = 7\n")
    other = write(f"{TABLE}concurrency = 9\n", "deploy/production.toml")
    monkeypatch.setenv("TRIGGER_ENGINE_CONFIG", "deploy/production.toml")
    config = load_config()
    assert config.settings.concurrency == 9
    assert (config.config_file, config.root) == (other, folder / "deploy")
    monkeypatch.setenv("TRIGGER_ENGINE_CONFIG", "")
    assert load_config().settings.concurrency == 7


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (None, "no such file"),
        ("[tool.trigger_engine", r"not valid TOML: .*(line 1|end of document)"),
        ("a = 1\na = 2\n", r"not valid TOML: .*line 2"),
        ("concurrency = 5\n", r"has no \[tool.trigger_engine\] table"),
        ("[tool]\ntrigger_engine = 5\n", "must be a table"),
        ("tool = 5\n", r"has no \[tool.trigger_engine\] table"),
    ],
)
def test_unusable_named_file_is_an_error(
    text: str | None, problem: str, write: Write, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if text is not None:
        write(text, "named.toml")
    monkeypatch.setenv("TRIGGER_ENGINE_CONFIG", "named.toml")
    with pytest.raises(ConfigError, match=problem) as caught:
        load_config()
    assert str(folder / "named.toml") in str(caught.value)


def test_named_file_that_cannot_be_read_is_an_error(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRIGGER_ENGINE_CONFIG", ".")
    with pytest.raises(ConfigError, match="cannot be read") as caught:
        load_config()
    assert isinstance(caught.value.__cause__, OSError)


def test_file_that_is_not_text_is_an_error(folder: Path) -> None:
    (folder / "pyproject.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match="not valid TOML"):
        load_config()


def test_broken_file_on_the_way_is_not_skipped(write: Write, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(TABLE)
    broken = write("[", "src/pyproject.toml")
    monkeypatch.chdir(folder / "src")
    with pytest.raises(ConfigError) as caught:
        load_config()
    assert str(broken) in str(caught.value)


def test_removed_current_folder_is_an_error(folder: Path) -> None:
    folder.rmdir()
    with pytest.raises(ConfigError, match="current folder"):
        load_config()


@pytest.mark.parametrize(
    ("text", "queues"),
    [
        ('["a", "b,c"]', ("a", "b,c")),
        ("a,b", ("a", "b")),
        (" a , b ,", ("a", "b")),
        ("a", ("a",)),
        ("[]", ()),
        ("", ()),
    ],
)
def test_list_in_the_environment_is_json_or_comma_separated(
    text: str, queues: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRIGGER_ENGINE__QUEUES", text)
    assert load_config().settings.queues == queues


@pytest.mark.parametrize(
    ("key", "text", "value"),
    [
        ("concurrency", "5", 5),
        ("concurrency", " 5 ", 5),
        ("lease_ttl", "7", 7.0),
        ("lease_ttl", "0.5", 0.5),
        ("lease_ttl", "1e1", 10.0),
        ("event_auto_purge_enabled", "false", False),
        ("event_auto_purge_enabled", "0", False),
        ("event_auto_purge_enabled", "True", True),
        ("version", "5", "5"),
        ("version", "", ""),
        ("runner_cls", "ProcessRunner", "ProcessRunner"),
        ("app_id", "null", "null"),
    ],
)
def test_variable_is_parsed_by_the_type_of_its_key(
    key: str, text: str, value: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(f"TRIGGER_ENGINE__{key.upper()}", text)
    found = getattr(load_config().settings, key)
    assert found == value
    assert type(found) is type(value)


def test_mapping_in_the_environment_is_json(monkeypatch: pytest.MonkeyPatch, server: type[ServerBackend]) -> None:
    monkeypatch.setenv("TRIGGER_ENGINE__SERVER__OPTIONS", '{"a": 1}')
    config = load_config(trigger_cls="ServerTrigger", app_id="a")
    assert config.backend_settings.options == {"a": 1}


def test_other_variables_of_the_engine_are_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRIGGER_ENGINE_APP", "tasks:app")
    monkeypatch.setenv("TRIGGER_ENGINEER", "me")
    assert load_config().settings.app == ""


def test_each_load_reads_the_configuration_again(monkeypatch: pytest.MonkeyPatch) -> None:
    assert load_config().settings.concurrency == 100
    monkeypatch.setenv("TRIGGER_ENGINE__CONCURRENCY", "1")
    assert load_config().settings.concurrency == 1


def test_process_workers_defaults_to_the_number_of_cpus() -> None:
    assert load_config().settings.process_workers == os.cpu_count()
    assert load_config(process_workers=0).settings.process_workers == os.cpu_count()
    assert load_config(process_workers=3).settings.process_workers == 3
