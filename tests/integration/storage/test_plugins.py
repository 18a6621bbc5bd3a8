"""Finding the backend that a configuration names; the errors name the next step."""

from importlib.metadata import EntryPoint, EntryPoints

import pytest

from trigger_engine._config import plugins
from trigger_engine._config.plugins import find_backend
from trigger_engine._storage.memory.log import MemTrigger
from trigger_engine._storage.sqlite.backend import SQLiteTrigger
from trigger_engine.errors import BackendNotInstalled, ConfigError


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> list[EntryPoint]:
    """The entry points of installed distributions, empty at first."""
    found: list[EntryPoint] = []

    def entry_points(*, group: str) -> EntryPoints:
        return EntryPoints(point for point in found if point.group == group)

    monkeypatch.setattr("importlib.metadata.entry_points", entry_points)
    return found


def point(name: str, value: str) -> EntryPoint:
    return EntryPoint(name, value, plugins.GROUP)


@pytest.mark.parametrize("backend", [MemTrigger, SQLiteTrigger])
def test_built_in_backends_need_no_entry_point(
    backend: type[MemTrigger | SQLiteTrigger], installed: list[EntryPoint]
) -> None:
    assert find_backend(backend.name) is backend


def test_plugin_is_found_by_its_entry_point(installed: list[EntryPoint]) -> None:
    installed.append(point("RedisTrigger", "trigger_engine._storage.memory.log:MemTrigger"))
    assert find_backend("RedisTrigger") is MemTrigger


@pytest.mark.parametrize(
    ("name", "extra"), [("RedisTrigger", "redis"), ("MongoTrigger", "mongodb"), ("RabbitMQTrigger", "rabbitmq")]
)
def test_missing_server_backend_error_names_the_extra_to_install(
    name: str, extra: str, installed: list[EntryPoint]
) -> None:
    with pytest.raises(BackendNotInstalled, match=rf"^{name} is not installed: pip install trigger-engine\[{extra}\]"):
        find_backend(name)


@pytest.mark.parametrize(
    ("name", "meant"),
    [("SqliteTriger", "SQLiteTrigger"), ("memory", "MemTrigger"), ("redis", "RedisTrigger"), ("rabbit", "RabbitMQ")],
)
def test_error_for_an_unknown_name_suggests_a_similar_one(name: str, meant: str, installed: list[EntryPoint]) -> None:
    with pytest.raises(ConfigError, match=f"there is no backend '{name}': did you mean '{meant}"):
        find_backend(name)


def test_error_for_a_name_unlike_any_other_lists_all_names(installed: list[EntryPoint]) -> None:
    installed.append(point("OtherTrigger", "other:OtherTrigger"))
    with pytest.raises(ConfigError, match="MemTrigger, MongoTrigger, OtherTrigger, RabbitMQTrigger") as caught:
        find_backend("xyz")
    assert "did you mean" not in str(caught.value)


def test_plugin_that_cannot_be_imported_is_an_error(installed: list[EntryPoint]) -> None:
    installed.append(point("OtherTrigger", "no_such_module:OtherTrigger"))
    with pytest.raises(BackendNotInstalled, match=r"OtherTrigger = no_such_module:OtherTrigger .* reinstall it"):
        find_backend("OtherTrigger")


def test_plugin_that_is_not_a_backend_is_an_error(installed: list[EntryPoint]) -> None:
    installed.append(point("OtherTrigger", "trigger_engine.errors:ConfigError"))
    with pytest.raises(ConfigError, match="is not a Backend"):
        find_backend("OtherTrigger")
