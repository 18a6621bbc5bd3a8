"""Rules that involve several keys. Each rule raises ConfigError, which names the keys, their values and sources."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from trigger_engine._config.settings import FAMILY_KEYS, Settings
from trigger_engine.errors import ConfigError

if TYPE_CHECKING:
    from trigger_engine.backend._contract import Backend

Sources = Mapping[str, str]


def check_rules(settings: Settings, backend_type: type[Backend], sources: Sources) -> None:
    """Checks all rules. `sources`: where each key was set."""
    _check_families(settings, backend_type, sources)
    _check_order(settings, sources, "heartbeat_interval", "heartbeat_ttl", equal=False)
    _check_order(settings, sources, "retry_backoff", "retry_backoff_max", equal=True)
    if settings.runner_cls == "ProcessRunner":
        check_process_local(backend_type, f"{_setting(settings, sources, 'runner_cls')} runs tasks in other processes")


def check_process_local(backend_type: type[Backend], what: str) -> None:
    """Raises ConfigError if the backend keeps its data inside one process. `what` needs it elsewhere."""
    if not backend_type.shared_between_processes:
        raise ConfigError(
            f"{what}, but {backend_type.name} keeps its data inside one process: "
            'set trigger_cls = "SQLiteTrigger", or another backend that processes share'
        )


def _check_families(settings: Settings, backend_type: type[Backend], sources: Sources) -> None:
    for key in FAMILY_KEYS:
        value = getattr(settings, key)
        if value and not value.startswith(backend_type.family):
            raise ConfigError(
                f"{_setting(settings, sources, key)} does not belong to the family of "
                f"{_setting(settings, sources, 'trigger_cls')}, but one backend holds log, queue and state: "
                f"write a name that begins with {backend_type.family!r}, or remove {key}"
            )


def _check_order(settings: Settings, sources: Sources, low: str, high: str, *, equal: bool) -> None:
    below, above = getattr(settings, low), getattr(settings, high)
    if below > above or (below == above and not equal):
        raise ConfigError(
            f"{_setting(settings, sources, high)} must be {'at least' if equal else 'more than'} "
            f"{_setting(settings, sources, low)}"
        )


def _setting(settings: Settings, sources: Sources, key: str) -> str:
    return f"{key} = {getattr(settings, key)!r} ({sources[key]})"
