"""The backend that a configuration names is found, or what to do is said."""

from importlib.metadata import EntryPoint, EntryPoints

import pytest

from trigger_engine.errors import BackendNotInstalled, ConfigError
from trigger_engine.log import plugins
from trigger_engine.log.memory import MemTrigger
from trigger_engine.log.plugins import find_backend
from trigger_engine.log.sqlite.backend import SQLiteTrigger


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> list[EntryPoint]:
    """What the installed distributions bring; nothing at first."""
    found: list[EntryPoint] = []

    def entry_points(*, group: str) -> EntryPoints:
        return EntryPoints(point for point in found if point.group == group)

    monkeypatch.setattr("importlib.metadata.entry_points", entry_points)
    return found


def point(name: str, value: str) -> EntryPoint:
    return EntryPoint(name, value, plugins.GROUP)


@pytest.mark.parametrize("backend", [MemTrigger, SQLiteTrigger])
def test_the_built_in_backends_are_found_though_nothing_is_installed(
    backend: type[MemTrigger | SQLiteTrigger], installed: list[EntryPoint]
) -> None:
    assert find_backend(backend.name) is backend


def test_a_plugin_is_found_by_its_entry_point(installed: list[EntryPoint]) -> None:
    installed.append(point("RedisTrigger", "trigger_engine.log.memory:MemTrigger"))
    assert find_backend("RedisTrigger") is MemTrigger


@pytest.mark.parametrize(
    ("name", "extra"), [("RedisTrigger", "redis"), ("MongoTrigger", "mongodb"), ("RabbitMQTrigger", "rabbitmq")]
)
def test_a_server_backend_that_is_missing_says_what_to_install(
    name: str, extra: str, installed: list[EntryPoint]
) -> None:
    with pytest.raises(BackendNotInstalled, match=rf"^{name} is not installed: pip install trigger-engine\[{extra}\]"):
        find_backend(name)


@pytest.mark.parametrize(
    ("name", "meant"),
    [("SqliteTriger", "SQLiteTrigger"), ("memory", "MemTrigger"), ("redis", "RedisTrigger"), ("rabbit", "RabbitMQ")],
)
def test_an_unknown_name_is_told_with_what_was_meant(name: str, meant: str, installed: list[EntryPoint]) -> None:
    with pytest.raises(ConfigError, match=f"there is no backend '{name}': did you mean '{meant}"):
        find_backend(name)


def test_a_name_like_no_other_is_told_with_all_there_are(installed: list[EntryPoint]) -> None:
    installed.append(point("OtherTrigger", "other:OtherTrigger"))
    with pytest.raises(ConfigError, match="MemTrigger, MongoTrigger, OtherTrigger, RabbitMQTrigger") as caught:
        find_backend("xyz")
    assert "did you mean" not in str(caught.value)


def test_a_plugin_that_cannot_be_imported_is_told(installed: list[EntryPoint]) -> None:
    installed.append(point("OtherTrigger", "no_such_module:OtherTrigger"))
    with pytest.raises(BackendNotInstalled, match=r"OtherTrigger = no_such_module:OtherTrigger .* install it again"):
        find_backend("OtherTrigger")


def test_a_plugin_that_is_no_backend_is_told(installed: list[EntryPoint]) -> None:
    installed.append(point("OtherTrigger", "trigger_engine.errors:ConfigError"))
    with pytest.raises(ConfigError, match="is not a Backend"):
        find_backend("OtherTrigger")
