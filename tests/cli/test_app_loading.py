"""Which app a command works on."""

from pathlib import Path

import pytest

from tests.cli.conftest import SHOP, Write
from trigger_engine.cli.app_loading import load_app, load_shared_app, override_settings
from trigger_engine.cli.failures import UserCodeFailed
from trigger_engine.errors import ConfigError, DeclarationError, TriggerEngineError

pytestmark = pytest.mark.usefixtures("shop")


@pytest.mark.parametrize("target", ["shop:app", "shop", "shop.py:app", "shop.py", "./shop.py:app"])
def test_the_argument_names_the_app(target: str) -> None:
    assert list(load_app(target).registry.tasks) == ["shop.notify", "shop.fail"]


def test_an_absolute_path_names_the_app(shop: Path) -> None:
    assert load_app(f"{shop}:app").app_id == "shop"


def test_a_module_of_a_package_names_the_app_with_its_public_name(write: Write) -> None:
    write("store/__init__.py", "")
    write("store/tasks.py", SHOP)
    assert list(load_app("store/tasks.py:app").registry.tasks) == ["store.tasks.notify", "store.tasks.fail"]
    assert load_app("store.tasks:app") is load_app("store/tasks.py:app")


def test_an_app_may_be_an_attribute_of_an_object(write: Write) -> None:
    write("holder.py", "import shop\nclass Holder:\n    engine = shop.app\n")
    assert load_app("holder:Holder.engine") is load_app("shop:app")


def test_the_variable_comes_after_the_argument(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    write("other.py", SHOP)
    monkeypatch.setenv("TRIGGER_ENGINE_APP", "other:app")
    assert load_app(None).home_module == "other"
    assert load_app("shop:app").home_module == "shop"


def test_the_configuration_comes_last(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    write("pyproject.toml", '[tool.trigger_engine]\napp = "shop.py:app"\n')
    assert load_app(None).home_module == "shop"
    write("other.py", SHOP)
    monkeypatch.setenv("TRIGGER_ENGINE_APP", "other:app")
    assert load_app(None).home_module == "other"


def test_without_any_name_the_error_says_where_to_give_one() -> None:
    with pytest.raises(ConfigError, match="no app is named: give it as an argument") as raised:
        load_app(None)
    assert "TRIGGER_ENGINE_APP" in str(raised.value)
    assert 'app = "tasks:app" in [tool.trigger_engine]' in str(raised.value)


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("shop:ap", "shop has no 'ap', did you mean 'app'?"),
        ("shop:nothing", "shop has no 'nothing': write shop:app"),
        ("shop:notify", "shop:notify is <AsyncTask shop.notify>, not a TriggerEngine: write shop:app"),
        ("shop:app:app", "there is no module 'shop:app'"),
        (":app", "names no app"),
        ("nowhere:app", "there is no module 'nowhere'"),
        ("nowhere.py:app", "there is no file .*nowhere.py"),
    ],
)
def test_a_wrong_name_is_refused_with_the_mend(target: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load_app(target)


def test_a_module_with_several_apps_asks_which_one(write: Write) -> None:
    write("two.py", "from trigger_engine import TriggerEngine\none, two = TriggerEngine(), TriggerEngine()\n")
    with pytest.raises(ConfigError, match="two has several apps: say which one, two:one or two:two"):
        load_app("two")


def test_a_module_without_an_app_is_refused(write: Write) -> None:
    write("none.py", "x = 1\n")
    with pytest.raises(ConfigError, match="none has no TriggerEngine"):
        load_app("none")
    with pytest.raises(ConfigError, match="none:x is 1, not a TriggerEngine: none has no TriggerEngine at all"):
        load_app("none:x")


@pytest.mark.parametrize("code", ["1 / 0", "import not_installed_anywhere", "raise SystemExit(3)", "x = ("])
def test_what_the_modules_code_raises_is_told_as_the_users(write: Write, code: str) -> None:
    write("broken.py", code)
    with pytest.raises(UserCodeFailed, match="importing broken raised"):
        load_app("broken:app")


@pytest.mark.parametrize("error", [DeclarationError, ConfigError])
def test_an_error_of_ours_keeps_its_type_and_says_where(write: Write, error: type[TriggerEngineError]) -> None:
    write("wrong.py", f"from trigger_engine.errors import {error.__name__}\n\nraise {error.__name__}('no')\n")
    with pytest.raises(error, match="no") as raised:
        load_app("wrong:app")
    assert raised.value.__notes__ == [f"at wrong.py:3: raise {error.__name__}('no')"]


def test_a_command_that_talks_to_other_processes_refuses_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRIGGER_ENGINE__TRIGGER_CLS", "MemTrigger")
    assert load_app("shop:app").settings.trigger_cls == "MemTrigger"
    with pytest.raises(ConfigError, match=r'trigger-engine emit .* set trigger_cls = "SQLiteTrigger"'):
        load_shared_app("shop:app", "emit")


def test_what_the_command_line_says_overrides_the_apps_settings() -> None:
    app = load_app("shop:app")
    override_settings(app, concurrency=3, queues=None)
    assert app.settings.concurrency == app.config.settings.concurrency == 3
    assert app.settings.queues == ()
