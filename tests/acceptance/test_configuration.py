"""Where an app gets its backend, runner and modules from: a file, variables, keywords, or the builder."""

import os
import re
import sys
from collections.abc import Iterator
from importlib.metadata import EntryPoints
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.driving import driven
from tests.support.apps import QUICK
from trigger_engine import (
    BackendNotInstalled,
    ConfigError,
    TriggerBuilder,
    TriggerEngine,
    TriggerEngineBuilder,
    TriggerEngineError,
)

ON_MEMORY = """
[tool.trigger_engine]
app_id = "my_app"
trigger_cls = "MemTrigger"
trigger_task_modules = ["tasks"]
"""
ON_SQLITE = """
[tool.trigger_engine]
app_id = "one_host"
orchestrator_cls = "SQLiteOrchestrator"
broker_cls = "SQLiteBroker"
state_backend_cls = "SQLiteStateBackend"
trigger_cls = "SQLiteTrigger"
runner_cls = "ProcessRunner"
trigger_task_modules = ["tasks", "more.tasks"]

[tool.trigger_engine.sqlite]
sqlite_db_path = "data/one_host.db"
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The current folder, without configuration of any kind."""
    for name in [name for name in os.environ if name.startswith("TRIGGER_ENGINE")]:
        monkeypatch.delenv(name)
    home = tmp_path / "home"
    (home / "below").mkdir(parents=True)
    monkeypatch.chdir(home)
    monkeypatch.syspath_prepend(str(home))
    before = set(sys.modules)
    yield home
    for name in set(sys.modules) - before:
        if str(home) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]


def test_without_any_configuration_everything_goes_into_one_file_here(folder: Path) -> None:
    app = TriggerEngine()
    assert (app.app_id, app._internals.settings.trigger_cls, app._internals.settings.runner_cls) == (
        "home",
        "SQLiteTrigger",
        "ThreadRunner",
    )
    assert str(folder / "trigger_engine.db") in repr(app)
    assert list(folder.iterdir()) == [folder / "below"], "nothing is opened"


def test_the_file_of_a_project_in_memory(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "pyproject.toml").write_text(ON_MEMORY)
    monkeypatch.chdir(folder / "below")
    app = TriggerEngine()
    assert (app.app_id, app._internals.settings.trigger_cls, app._internals.settings.trigger_task_modules) == (
        "my_app",
        "MemTrigger",
        ("tasks",),
    )
    assert str(folder / "pyproject.toml") in repr(app)
    assert "tasks" not in sys.modules


def test_the_file_of_a_project_on_one_host(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "pyproject.toml").write_text(ON_SQLITE)
    monkeypatch.chdir(folder / "below")
    app = TriggerEngine()
    assert (app.app_id, app._internals.settings.runner_cls) == ("one_host", "ProcessRunner")
    assert app._internals.settings.trigger_task_modules == ("tasks", "more.tasks")
    assert str(folder / "data" / "one_host.db") in repr(app), "relative to the file that says so"


def test_variables_override_the_file_and_keywords_override_both(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "pyproject.toml").write_text(ON_SQLITE.replace("ProcessRunner", "ThreadRunner"))
    monkeypatch.setenv("TRIGGER_ENGINE__SQLITE__SQLITE_DB_PATH", "elsewhere.db")
    monkeypatch.setenv("TRIGGER_ENGINE__TRIGGER_TASK_MODULES", "a.b,c")
    monkeypatch.setenv("TRIGGER_ENGINE__QUEUES", '["slow", "fast"]')
    app = TriggerEngine(queues=["mine"])
    assert str(folder / "elsewhere.db") in repr(app)
    assert app._internals.settings.trigger_task_modules == ("a.b", "c")
    assert app._internals.settings.queues == ("mine",)
    monkeypatch.setenv("TRIGGER_ENGINE__TRIGGER_CLS", "MemTrigger")
    with pytest.raises(
        ConfigError, match=r"orchestrator_cls = 'SQLiteOrchestrator' .* does not belong to the family of trigger_cls"
    ):
        TriggerEngine()


def test_a_variable_alone_selects_memory(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRIGGER_ENGINE__TRIGGER_CLS", "MemTrigger")
    assert TriggerEngine()._internals.settings.trigger_cls == "MemTrigger"


def test_builder_equals_chained_calls(folder: Path) -> None:
    app = TriggerEngineBuilder().thread_runner().trigger_memory().trigger_task_modules(["tasks"]).build()
    assert (app._internals.settings.trigger_cls, app._internals.settings.runner_cls) == ("MemTrigger", "ThreadRunner")
    assert app._internals.settings.trigger_task_modules == ("tasks",)
    app = TriggerEngineBuilder().sqlite(folder / "x.db").process_runner().app_id("shop").build()
    assert (app.app_id, app._internals.settings.runner_cls) == ("shop", "ProcessRunner")
    assert str(folder / "x.db") in repr(app)


async def test_an_app_made_by_the_builder_imports_its_modules_when_a_runner_starts(folder: Path) -> None:
    app = TriggerEngineBuilder().thread_runner().trigger_memory().trigger_task_modules(["bakery_tasks"]).build(**QUICK)
    (folder / "bakery_app.py").write_text("app = None\n")
    (folder / "bakery_tasks.py").write_text(
        "from bakery_app import app\n"
        "from trigger_engine import TriggerBuilder\n"
        "@app.task(triggers=TriggerBuilder().on_event('order'))\n"
        "def bake():\n"
        "    return 'loaf'\n"
    )
    import bakery_app  # type: ignore[import-not-found]

    bakery_app.app = app
    assert "bakery_tasks" not in sys.modules
    async with driven(app) as happened:
        assert "bakery_tasks" in sys.modules
        await app.emit_event("order")
        await happened.settle()
        (baked,) = await happened.invocations(sys.modules["bakery_tasks"].bake)
    assert (baked.task_id, baked.result) == ("bakery_tasks.bake", "loaf")


def _no_entry_points(*, group: str) -> EntryPoints:
    return EntryPoints()


@pytest.mark.parametrize(
    ("build", "error", "told"),
    [
        (lambda: TriggerEngineBuilder().redis(url="redis://localhost:1").process_runner().build(), None, "[redis]"),
        (lambda: TriggerEngineBuilder().mongodb(url="mongodb://localhost:1").build(), None, "[mongodb]"),
        (lambda: TriggerEngineBuilder().rabbitmq(url="amqp://localhost:1").build(), None, "[rabbitmq]"),
        (lambda: TriggerEngine(trigger_cls="RedisTrigger"), None, "pip install trigger-engine[redis]"),
        (lambda: TriggerEngine(trigger_cls="SqliteTriger"), ConfigError, "did you mean 'SQLiteTrigger'?"),
        (lambda: TriggerEngine(triger_cls="MemTrigger"), ConfigError, "'triger_cls' .* did you mean 'trigger_cls'?"),
        (
            lambda: TriggerEngine(trigger_cls="MemTrigger", runner_cls="ProcessRunner"),
            ConfigError,
            'MemTrigger keeps its data inside one process: set trigger_cls = "SQLiteTrigger"',
        ),
        (lambda: TriggerEngine(trigger_task_modules="tasks"), ConfigError, "must be a list of dotted module names"),
        (lambda: TriggerEngine(app_id="shop", concurrency=0), ConfigError, "concurrency = 0"),
    ],
)
def test_unusable_configuration_is_reported(
    folder: Path, monkeypatch: pytest.MonkeyPatch, build: Any, error: type[Exception] | None, told: str
) -> None:
    monkeypatch.setattr("importlib.metadata.entry_points", _no_entry_points)
    with pytest.raises(error or BackendNotInstalled) as caught:
        build()
    assert re.search(told.replace("[", r"\[").replace("?", r"\?"), str(caught.value))
    assert isinstance(caught.value, TriggerEngineError)


async def test_missing_module_stops_a_runner_at_startup(folder: Path) -> None:
    app = TriggerEngine(trigger_cls="MemTrigger", trigger_task_modules=["tasks_of_nobody"])
    async with app:
        with pytest.raises(ConfigError, match="trigger_task_modules names 'tasks_of_nobody', which cannot be found"):
            await app.runner().__aenter__()


def test_the_fields_of_auto_purge_are_settings_with_limits(folder: Path) -> None:
    app = TriggerEngine()
    fields = ("event_retention_days", "event_max_records", "trigger_run_max_records", "event_auto_purge_enabled")
    assert [getattr(app._internals.settings, name) for name in fields] == [7.0, 0, 0, True]
    (folder / "pyproject.toml").write_text(
        "[tool.trigger_engine]\nevent_retention_days = 1.5\nevent_max_records = 100\n"
        "trigger_run_max_records = 50\nevent_auto_purge_enabled = false\n"
    )
    assert [getattr(TriggerEngine()._internals.settings, name) for name in fields] == [1.5, 100, 50, False]
    with pytest.raises(ConfigError, match="event_retention_days = -1"):
        TriggerEngine(event_retention_days=-1)


def test_a_task_of_another_app_cannot_be_watched(folder: Path) -> None:
    one, other = TriggerEngine(app_id="one"), TriggerEngine(app_id="other")

    @one.task
    async def work() -> None:
        pass

    with pytest.raises(TriggerEngineError, match="watches a task of another app"):

        @other.task(triggers=TriggerBuilder().on_status(work))
        async def react() -> None:
            pass
