"""Finding the app that a command works on."""

from pathlib import Path

import pytest

from tests.integration.cli.conftest import SHOP, Write
from trigger_engine._cli.app_loading import load_app, load_shared_app, override_settings
from trigger_engine._cli.failures import UserCodeFailed
from trigger_engine.errors import ConfigError, DeclarationError, TriggerEngineError

pytestmark = pytest.mark.usefixtures("shop")


@pytest.mark.parametrize("target", ["shop:app", "shop", "shop.py:app", "shop.py", "./shop.py:app"])
def test_app_is_given_by_the_argument(target: str) -> None:
    assert list(load_app(target)._internals.registry.tasks) == ["shop.notify", "shop.fail"]


def test_app_can_be_given_by_an_absolute_path(shop: Path) -> None:
    assert load_app(f"{shop}:app").app_id == "shop"


def test_path_in_a_package_loads_the_module_under_its_full_name(write: Write) -> None:
    write("store/__init__.py", "")
    write("store/tasks.py", SHOP)
    assert list(load_app("store/tasks.py:app")._internals.registry.tasks) == ["store.tasks.notify", "store.tasks.fail"]
    assert load_app("store.tasks:app") is load_app("store/tasks.py:app")


def test_app_can_be_an_attribute_of_an_object(write: Write) -> None:
    write("holder.py", "import shop\nclass Holder:\n    engine = shop.app\n")
    assert load_app("holder:Holder.engine") is load_app("shop:app")


def test_argument_wins_over_the_environment_variable(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    write("other.py", SHOP)
    monkeypatch.setenv("TRIGGER_ENGINE_APP", "other:app")
    assert load_app(None)._internals.home_module == "other"
    assert load_app("shop:app")._internals.home_module == "shop"


def test_environment_variable_wins_over_the_configuration(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    write("pyproject.toml", '[tool.trigger_engine]\napp = "shop.py:app"\n')
    assert load_app(None)._internals.home_module == "shop"
    write("other.py", SHOP)
    monkeypatch.setenv("TRIGGER_ENGINE_APP", "other:app")
    assert load_app(None)._internals.home_module == "other"


def test_error_without_an_app_says_how_to_give_one() -> None:
    with pytest.raises(ConfigError, match="no app was given: pass it as an argument") as raised:
        load_app(None)
    assert "TRIGGER_ENGINE_APP" in str(raised.value)
    assert 'app = "tasks:app" to [tool.trigger_engine]' in str(raised.value)


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("shop:ap", "shop has no 'ap', did you mean 'app'?"),
        ("shop:nothing", "shop has no 'nothing': write shop:app"),
        ("shop:notify", "shop:notify is <AsyncTask shop.notify>, not a TriggerEngine: write shop:app"),
        ("shop:app:app", "there is no module 'shop:app'"),
        (":app", "is not an app"),
        ("nowhere:app", "there is no module 'nowhere'"),
        ("nowhere.py:app", "there is no file .*nowhere.py"),
    ],
)
def test_error_for_a_wrong_name_suggests_the_fix(target: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load_app(target)


def test_module_with_several_apps_is_an_error(write: Write) -> None:
    write("two.py", "from trigger_engine import TriggerEngine\none, two = TriggerEngine(), TriggerEngine()\n")
    with pytest.raises(ConfigError, match="two has several apps: choose one, two:one or two:two"):
        load_app("two")


def test_module_without_an_app_is_an_error(write: Write) -> None:
    write("none.py", "x = 1\n")
    with pytest.raises(ConfigError, match="none has no TriggerEngine"):
        load_app("none")
    with pytest.raises(ConfigError, match="none:x is 1, not a TriggerEngine; none has no TriggerEngine"):
        load_app("none:x")


@pytest.mark.parametrize("code", ["1 / 0", "import not_installed_anywhere", "raise SystemExit(3)", "x = ("])
def test_import_error_is_reported_as_an_error_of_user_code(write: Write, code: str) -> None:
    write("broken.py", code)
    with pytest.raises(UserCodeFailed, match="importing broken raised"):
        load_app("broken:app")


@pytest.mark.parametrize("error", [DeclarationError, ConfigError])
def test_engine_error_keeps_its_type_and_gets_the_line(write: Write, error: type[TriggerEngineError]) -> None:
    write("wrong.py", f"from trigger_engine.errors import {error.__name__}\n\nraise {error.__name__}('no')\n")
    with pytest.raises(error, match="no") as raised:
        load_app("wrong:app")
    assert raised.value.__notes__ == [f"at wrong.py:3: raise {error.__name__}('no')"]


def test_commands_that_need_shared_data_reject_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRIGGER_ENGINE__TRIGGER_CLS", "MemTrigger")
    assert load_app("shop:app")._internals.settings.trigger_cls == "MemTrigger"
    with pytest.raises(ConfigError, match=r'trigger-engine emit .* set trigger_cls = "SQLiteTrigger"'):
        load_shared_app("shop:app", "emit")


def test_command_line_overrides_settings() -> None:
    app = load_app("shop:app")
    override_settings(app, concurrency=3, queues=None)
    assert app._internals.settings.concurrency == app._internals.config.settings.concurrency == 3
    assert app._internals.settings.queues == ()
