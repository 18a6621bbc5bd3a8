"""`trigger-engine doctor`: its output, and its checks of code and configuration."""

import json
import os
import re
from pathlib import Path

import pytest

from tests.integration.cli.conftest import SHOP, Invoke, Write
from tests.integration.cli.data import emit
from trigger_engine._cli.finding import Finding
from trigger_engine.errors import ConfigError

APP = "from trigger_engine import TriggerBuilder, TriggerEngine\napp = TriggerEngine()\n"

WATCHES_NOBODY = """
from shop import app
from trigger_engine import TriggerBuilder

@app.task(triggers=TriggerBuilder().on_status("shop.notfy"))
async def watch() -> None: ...
"""


def findings(invoke: Invoke, *arguments: str) -> tuple[int, list[Finding]]:
    """Returns the exit code of `doctor` and its findings."""
    result = invoke("doctor", *arguments, "--json")
    return result.exit_code, [Finding(**json.loads(line)) for line in result.stdout.splitlines()]


def found(invoke: Invoke, *arguments: str, check: str, level: str) -> list[str]:
    """Returns the texts and fixes of one check's findings of one level."""
    _, every = findings(invoke, *arguments)
    return [f"{one.text} | {one.fix}" for one in every if (one.check, one.level) == (check, level)]


@pytest.mark.usefixtures("shop")
def test_doctor_shows_the_configuration(invoke: Invoke, folder: Path) -> None:
    emit("shop:app", "user.login", runner=True)
    result = invoke("doctor", "shop:app")
    assert result.exit_code == 0
    head = result.stdout.splitlines()[:4]
    assert [line[:16].strip() for line in head] == ["trigger-engine", "app id", "configuration", "data"]
    assert head[1].endswith(f"shop (from: {folder / 'pyproject.toml'})")
    assert head[2].endswith(str(folder / "pyproject.toml"))
    assert head[3].endswith(f"{folder / 'trigger_engine.db'} (SQLiteTrigger)")
    (text,) = found(invoke, "shop:app", check="configuration", level="ok")
    assert (
        f"app id: shop (from: {folder / 'pyproject.toml'}); configuration: {folder / 'pyproject.toml'}; data: " in text
    )


@pytest.mark.usefixtures("shop")
def test_healthy_app_without_a_runner_has_one_warning(invoke: Invoke) -> None:
    emit("shop:app", "user.login", runner=True)
    code, every = findings(invoke, "shop:app")
    assert code == 0
    assert [(one.check, one.text, one.fix) for one in every if one.level != "ok"] == [
        ("runners", "no runner is alive", "start one: trigger-engine run shop:app")
    ]
    shown = invoke("doctor", "shop:app").stdout
    assert re.search(r"\nwarning  runners +no runner is alive\n +start one: trigger-engine run shop:app\n", shown)
    assert shown.endswith(f"\n0 failed, 1 warning, {len(every) - 2} ok\n")


@pytest.mark.usefixtures("shop")
def test_doctor_fits_a_narrow_terminal(invoke: Invoke) -> None:
    emit("shop:app", "user.login", runner=True)
    shown = invoke("doctor", "shop:app", columns=50).stdout
    assert max(map(len, shown.splitlines())) <= 50


@pytest.mark.usefixtures("shop")
def test_doctor_creates_no_file(invoke: Invoke, folder: Path) -> None:
    (text,) = found(invoke, "shop:app", check="backend", level="warning")
    assert f"{folder / 'trigger_engine.db'} does not exist yet" in text
    assert "see sqlite_db_path and the current folder" in text
    assert not (folder / "trigger_engine.db").exists()


@pytest.mark.usefixtures("shop")
def test_unreachable_backend_fails(invoke: Invoke, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRIGGER_ENGINE__SQLITE__SQLITE_DB_PATH", "missing/folder/shop.db")
    (text,) = found(invoke, "shop:app", check="backend", level="failed")
    assert "missing/folder does not exist" in text
    assert findings(invoke, "shop:app")[0] == 1


@pytest.mark.usefixtures("shop")
def test_network_file_system_fails(invoke: Invoke, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: str) -> None:
        raise ConfigError(f"{path} is on a network file system (nfs4)")

    monkeypatch.setattr("trigger_engine._cli.doctor.check_file_system", refuse)
    (text,) = found(invoke, "shop:app", check="backend", level="failed")
    assert "network file system (nfs4)" in text


@pytest.mark.usefixtures("shop")
def test_memory_is_a_warning_and_its_data_is_not_checked(invoke: Invoke, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRIGGER_ENGINE__TRIGGER_CLS", "MemTrigger")
    (text,) = found(invoke, "shop:app", check="runner", level="warning")
    assert 'set trigger_cls = "SQLiteTrigger"' in text
    code, every = findings(invoke, "shop:app")
    assert code == 0
    assert not {"backend", "runners", "leader"} & {one.check for one in every}


@pytest.mark.usefixtures("shop")
def test_memory_with_processes_fails(invoke: Invoke, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRIGGER_ENGINE__TRIGGER_CLS", "MemTrigger")
    monkeypatch.setenv("TRIGGER_ENGINE__RUNNER_CLS", "ProcessRunner")
    (text,) = found(invoke, "shop:app", check="configuration", level="failed")
    assert "MemTrigger keeps its data inside one process" in text


@pytest.mark.usefixtures("shop", "no_plugins")
def test_missing_plugin_fails_with_the_package_to_install(invoke: Invoke, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRIGGER_ENGINE__TRIGGER_CLS", "RedisTrigger")
    (text,) = found(invoke, "shop:app", check="plugin", level="failed")
    assert "pip install trigger-engine[redis]" in text


@pytest.fixture
def no_plugins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.metadata.entry_points", lambda group: _NoEntryPoints())


class _NoEntryPoints:
    names: frozenset[str] = frozenset()


def test_unknown_key_fails_with_a_suggestion(invoke: Invoke, write: Write) -> None:
    write("shop.py", SHOP)
    write("pyproject.toml", "[tool.trigger_engine]\nconcurency = 3\n")
    (text,) = found(invoke, "shop:app", check="configuration", level="failed")
    assert "did you mean 'concurrency'?" in text


def test_doctor_without_an_app_says_how_to_give_one(invoke: Invoke) -> None:
    (text,) = found(invoke, check="configuration", level="failed")
    assert "no app was given" in text


def test_lambda_fails_with_its_line(invoke: Invoke, write: Write) -> None:
    write("shop.py", f"{APP}builder = TriggerBuilder().on_event('x', payload_filter=lambda p: True)\n")
    (text,) = found(invoke, "shop:app", check="declarations", level="failed")
    assert "a lambda has no name in its module; write a named function at module level" in text
    assert "at shop.py:3: builder" in text


def test_nested_function_fails(invoke: Invoke, write: Write) -> None:
    code = (
        "def declare():\n    def inner(p): ...\n    TriggerBuilder().on_event('x', payload_filter=inner)\ndeclare()\n"
    )
    write("shop.py", APP + code)
    (text,) = found(invoke, "shop:app", check="declarations", level="failed")
    assert "is nested in another function" in text


def test_error_in_user_code_fails_with_its_traceback(invoke: Invoke, write: Write) -> None:
    write("shop.py", f"{APP}1 / 0\n")
    result = invoke("doctor", "shop:app")
    assert result.exit_code == 1
    assert "importing shop raised ZeroDivisionError" in result.stdout
    assert 'shop.py", line 3, in <module>' in result.stderr


def test_app_without_triggers_is_a_warning(invoke: Invoke, write: Write) -> None:
    write("shop.py", APP)
    (text,) = found(invoke, "shop:app", check="declarations", level="warning")
    assert "0 tasks but no triggers are declared" in text


@pytest.fixture
def package(write: Write) -> Write:
    """A package `store` whose module `reports` declares triggers but is never imported."""
    write("store/__init__.py", "")
    write("store/app.py", APP)
    write("store/tasks.py", "from store.app import app\n@app.task\nasync def plain() -> None: ...\n")
    write(
        "store/sub/reports.py",
        "from store.app import app\nfrom trigger_engine import TriggerBuilder\n\n"
        "@app.task(triggers=TriggerBuilder().on_event('paid'))\nasync def report() -> None: ...\n",
    )
    return write


@pytest.mark.usefixtures("package")
def test_unlisted_module_that_declares_triggers_fails(invoke: Invoke, folder: Path) -> None:
    code, _ = findings(invoke, "store.app:app")
    assert code == 1
    (text,) = found(invoke, "store.app:app", check="task modules", level="failed")
    where = folder / "store" / "sub" / "reports.py"
    assert f"store.sub.reports declares triggers ({where}:4), but no runner imports it" in text
    assert 'list it: trigger_task_modules = ["store.sub.reports"]' in text


def test_listed_module_is_ok(invoke: Invoke, package: Write) -> None:
    package("pyproject.toml", '[tool.trigger_engine]\ntrigger_task_modules = ["store.sub.reports"]\n')
    assert found(invoke, "store.app:app", check="task modules", level="failed") == []
    (text,) = found(invoke, "store.app:app", check="task modules", level="ok")
    assert text.startswith("trigger_task_modules can be imported: store.sub.reports")


def test_module_imported_by_the_app_is_ok(invoke: Invoke, package: Write) -> None:
    package("store/app.py", f"{APP}import store.sub.reports\n")
    assert found(invoke, "store.app:app", check="task modules", level="failed") == []


def test_module_next_to_the_app_is_scanned_if_it_imports_the_app(invoke: Invoke, write: Write) -> None:
    write("shop.py", SHOP)
    declaring = "@app.task(triggers=TriggerBuilder().on_event('x'))\nasync def work() -> None: ...\n"
    write("beside.py", f"from trigger_engine import TriggerBuilder\nfrom shop import app\n{declaring}")
    write("stranger.py", APP + declaring)
    write("broken.py", "import shop\n@shop.app.task(triggers=(\n")
    (text,) = found(invoke, "shop:app", check="task modules", level="failed")
    assert text.startswith("beside declares triggers ")


@pytest.mark.parametrize(
    ("module", "code", "message"),
    [
        ("nowhere", None, "trigger_task_modules names 'nowhere', which cannot be found"),
        ("listed", "1 / 0\n", "importing them raised ZeroDivisionError: division by zero\nat listed.py:1: 1 / 0"),
        ("listed", "import not_there\n", "importing them raised ModuleNotFoundError"),
        ("listed", WATCHES_NOBODY, "did you mean 'shop.notify'?"),
    ],
)
def test_unusable_listed_module_fails(
    invoke: Invoke, write: Write, module: str, code: str | None, message: str
) -> None:
    write("shop.py", SHOP)
    write("pyproject.toml", f'[tool.trigger_engine]\ntrigger_task_modules = ["{module}"]\n')
    if code is not None:
        write(f"{module}.py", code)
    (text,) = found(invoke, "shop:app", check="task modules", level="failed")
    assert message in text


@pytest.mark.parametrize(
    ("logic", "how"), [("and", "only when both have occurred"), ("or", "with the same argument providers for both")]
)
def test_cron_and_event_in_one_trigger_is_a_warning(invoke: Invoke, write: Write, logic: str, how: str) -> None:
    builder = f"TriggerBuilder().on_cron('* * * * *').on_event('refresh').with_logic('{logic}')"
    write("shop.py", f"{APP}@app.task(triggers={builder})\nasync def refresh() -> None: ...\n")
    (text,) = found(invoke, "shop:app", check="contexts", level="warning")
    assert f"shop.refresh#0 mixes a cron and an event condition: it fires {how}" in text
    assert "give a list of two TriggerBuilders" in text


def test_cron_and_event_in_two_triggers_are_ok(invoke: Invoke, write: Write) -> None:
    builders = "[TriggerBuilder().on_cron('* * * * *'), TriggerBuilder().on_event('refresh')]"
    write("shop.py", f"{APP}@app.task(triggers={builders})\nasync def refresh() -> None: ...\n")
    assert found(invoke, "shop:app", check="contexts", level="warning") == []


def test_tasks_that_start_each_other_are_a_warning(invoke: Invoke, write: Write) -> None:
    write(
        "shop.py",
        f"{APP}@app.task(triggers=TriggerBuilder().on_status('shop.pong'))\nasync def ping() -> None: ...\n"
        "@app.task(triggers=TriggerBuilder().on_any_result(ping))\nasync def pong() -> None: ...\n",
    )
    (text,) = found(invoke, "shop:app", check="loops", level="warning")
    loop = "shop.ping starts shop.pong (any-result:shop.ping), which starts shop.ping (status:shop.pong[success])"
    assert text.startswith(f"triggers form a loop: {loop} | add a filter that ends it, or remove one of these triggers")


@pytest.mark.usefixtures("shop")
def test_triggers_without_a_loop_are_ok(invoke: Invoke) -> None:
    assert found(invoke, "shop:app", check="loops", level="warning") == []


def test_event_codes_that_differ_in_style_are_warnings(invoke: Invoke, write: Write) -> None:
    codes = ["user.login", "user_login", "order.paid", "OrderShipped"]
    builders = ", ".join(f"TriggerBuilder().on_event('{code}')" for code in codes)
    write("shop.py", f"{APP}@app.task(triggers=[{builders}])\nasync def work() -> None: ...\n")
    alike, odd = found(invoke, "shop:app", check="names", level="warning")
    assert alike.startswith("the event codes user.login, user_login differ only in case or separators")
    assert odd.startswith("most event codes are like 'order.paid', except OrderShipped")


@pytest.mark.usefixtures("shop")
def test_app_of_the_environment_variable_is_checked(invoke: Invoke, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRIGGER_ENGINE_APP", "shop:app")
    assert findings(invoke)[0] == 0
    assert os.environ["TRIGGER_ENGINE_APP"] == "shop:app"


@pytest.mark.servers
@pytest.mark.usefixtures("shop")
@pytest.mark.parametrize("store", ["redis"], indirect=True)
def test_doctor_includes_the_checks_of_the_server(invoke: Invoke) -> None:
    emit("shop:app", "user.login", runner=True)
    (warned,) = found(invoke, "shop:app", check="backend", level="warning")
    assert warned.startswith("appendfsync everysec: a power failure may lose the last second")
    well = found(invoke, "shop:app", check="backend", level="ok")
    assert any(text.startswith("Valkey 9.") for text in well)
    assert invoke("doctor", "shop:app").exit_code == 0


@pytest.mark.servers
@pytest.mark.usefixtures("shop")
@pytest.mark.parametrize("store", ["mongodb"], indirect=True)
def test_doctor_includes_the_checks_of_the_replica_set(invoke: Invoke) -> None:
    emit("shop:app", "user.login", runner=True)
    (warned,) = found(invoke, "shop:app", check="backend", level="warning")
    assert warned.startswith("the replica set rs0 has one data-bearing member")
    well = found(invoke, "shop:app", check="backend", level="ok")
    assert any("on the disks of a majority of the members (w majority, j)" in text for text in well)
    assert invoke("doctor", "shop:app").exit_code == 0
