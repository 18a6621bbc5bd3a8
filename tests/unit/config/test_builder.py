"""The builder: every method returns a new builder, and `build` returns the same app as keywords."""

from pathlib import Path

import pytest

from tests.unit.config.conftest import Write
from trigger_engine._app.app import TriggerEngine
from trigger_engine._app.builder import TriggerEngineBuilder
from trigger_engine.errors import BackendNotInstalled, ConfigError


def test_builder_builds_an_app_of_the_module_that_calls_it() -> None:
    app = TriggerEngineBuilder().app_id("mine").trigger_memory().build()
    assert isinstance(app, TriggerEngine)
    assert app.app_id == "mine"
    assert app._internals.home_module == __name__


def test_every_method_gives_a_new_builder() -> None:
    start = TriggerEngineBuilder()
    memory = start.memory()
    assert memory is not start
    assert memory.thread_runner().trigger_task_modules(["tasks"]).build()._internals.settings.trigger_task_modules == (
        "tasks",
    )
    assert memory.build()._internals.settings.trigger_task_modules == ()
    assert start.build()._internals.settings.trigger_cls == "SQLiteTrigger"


def test_memory_for_development() -> None:
    settings = (
        TriggerEngineBuilder()
        .thread_runner()
        .trigger_memory()
        .trigger_task_modules(["tasks"])
        .build()
        ._internals.settings
    )
    assert (settings.trigger_cls, settings.runner_cls) == ("MemTrigger", "ThreadRunner")
    assert settings.trigger_task_modules == ("tasks",)


def test_sqlite_file(folder: Path) -> None:
    config = TriggerEngineBuilder().sqlite("data/shop.db").process_runner().build()._internals.config
    assert config.backend_settings.sqlite_db_path == str(folder / "data/shop.db")
    assert config.settings.runner_cls == "ProcessRunner"
    assert TriggerEngineBuilder().sqlite(Path("a.db")).build()._internals.config.backend_settings.sqlite_db_path == str(
        folder / "a.db"
    )


def test_sqlite_without_a_path_leaves_the_path_to_the_file(write: Write, folder: Path) -> None:
    write('[tool.trigger_engine.sqlite]\nsqlite_db_path = "shop.db"\n')
    assert TriggerEngineBuilder().sqlite().build()._internals.config.backend_settings.sqlite_db_path == str(
        folder / "shop.db"
    )


def test_builder_overrides_file_and_environment(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    write('[tool.trigger_engine]\ntrigger_cls = "SQLiteTrigger"\nbroker_cls = "SQLiteBroker"\napp_id = "file"\n')
    monkeypatch.setenv("TRIGGER_ENGINE__APP_ID", "environment")
    settings = TriggerEngineBuilder().memory().app_id("built").build()._internals.settings
    assert (settings.trigger_cls, settings.broker_cls, settings.app_id) == ("MemTrigger", "MemBroker", "built")
    with pytest.raises(ConfigError, match="broker_cls"):
        TriggerEngineBuilder().trigger_memory().build()


def test_backend_chosen_last_counts() -> None:
    settings = TriggerEngineBuilder().redis(url="redis://localhost").memory().build()._internals.settings
    assert settings.trigger_cls == "MemTrigger"


def test_keywords_of_build_override_the_builder() -> None:
    app = TriggerEngineBuilder().memory().app_id("built").build(app_id="mine", concurrency=3)
    assert (app.app_id, app._internals.settings.concurrency) == ("mine", 3)


@pytest.mark.parametrize(
    "builder",
    [
        TriggerEngineBuilder().redis(url="redis://localhost:6379").process_runner().trigger_task_modules(["tasks"]),
        TriggerEngineBuilder().mongodb(url="mongodb://localhost"),
        TriggerEngineBuilder().rabbitmq(url="amqp://localhost", prefetch=10),
    ],
    ids=["redis", "mongodb", "rabbitmq"],
)
def test_build_refuses_a_backend_that_is_not_installed(builder: TriggerEngineBuilder, no_plugins: None) -> None:
    with pytest.raises(BackendNotInstalled, match="pip install"):
        builder.build()


def test_memory_with_a_process_runner_is_refused() -> None:
    with pytest.raises(ConfigError, match="SQLiteTrigger"):
        TriggerEngineBuilder().memory().process_runner().build()


def test_single_module_name_instead_of_a_list_is_refused() -> None:
    with pytest.raises(ConfigError, match="trigger_task_modules"):
        TriggerEngineBuilder().trigger_task_modules("tasks").build()
