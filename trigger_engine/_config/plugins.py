"""Finds the configured backend."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, cast

from trigger_engine.backend._contract import Backend
from trigger_engine.errors import BackendNotInstalled, ConfigError

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

GROUP = "trigger_engine.backends"

BUILT_IN = {
    "MemTrigger": "trigger_engine._storage.memory.log:MemTrigger",
    "SQLiteTrigger": "trigger_engine._storage.sqlite.backend:SQLiteTrigger",
}
"""Found even if the metadata of this package is missing, such as in a source tree."""

EXTRAS = {"RedisTrigger": "redis", "MongoTrigger": "mongodb", "RabbitMQTrigger": "rabbitmq"}


def find_backend(name: str) -> type[Backend]:
    """Imports the backend class of a `trigger_cls`.

    Raises ConfigError for an unknown name, and BackendNotInstalled for a known one whose distribution is missing.
    """
    if name in BUILT_IN:
        module, _, attribute = BUILT_IN[name].partition(":")
        return cast(type[Backend], getattr(import_module(module), attribute))
    from importlib.metadata import entry_points

    installed = entry_points(group=GROUP)
    if name in installed.names:
        return _load(installed[name])
    if name in EXTRAS:
        raise BackendNotInstalled(f"{name} is not installed: pip install trigger-engine[{EXTRAS[name]}]")
    known = sorted({*BUILT_IN, *EXTRAS, *installed.names})
    raise ConfigError(f"there is no backend {name!r}{_suggestion(name, known)} (known: {', '.join(known)})")


def _load(entry_point: EntryPoint) -> type[Backend]:
    where = f"entry point {entry_point.name} = {entry_point.value} of {_distribution(entry_point)}"
    try:
        found = entry_point.load()
    except (ImportError, AttributeError) as exc:
        raise BackendNotInstalled(f"{where} cannot be imported ({exc}): reinstall it with its dependencies") from exc
    if not (isinstance(found, type) and issubclass(found, Backend)):
        raise ConfigError(f"{where} is not a Backend: report this to its authors, or select another backend")
    return found


def _distribution(entry_point: EntryPoint) -> str:
    return entry_point.dist.name if entry_point.dist is not None else "an unnamed distribution"


def _suggestion(name: str, known: list[str]) -> str:
    import difflib

    by_stem = {_stem(candidate): candidate for candidate in known}
    found = difflib.get_close_matches(_stem(name), by_stem, n=1)
    return f": did you mean {by_stem[found[0]]!r}?" if found else ""


def _stem(name: str) -> str:
    """The distinctive part of a name: all of them end with "trigger"."""
    return name.lower().removesuffix("trigger")
