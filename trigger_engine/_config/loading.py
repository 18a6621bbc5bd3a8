"""Loads the configuration from all sources. Precedence: defaults < pyproject.toml < environment < keywords."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from trigger_engine._config.conversion import RawSetting, convert, unknown_key
from trigger_engine._config.paths import absolute, absolute_import_path
from trigger_engine._config.plugins import find_backend
from trigger_engine._config.rules import check_process_local, check_rules
from trigger_engine._config.settings import KEYS, KNOWN_SECTIONS, AppId, Settings
from trigger_engine._config.sources import (
    TABLE,
    Layer,
    ProjectFile,
    current_folder,
    environment_layer,
    file_layer,
    find_config_file,
    keyword_layer,
    project_files,
    table_name,
    variable,
)
from trigger_engine.backend._contract import Backend
from trigger_engine.errors import BackendNotInstalled, ConfigError

DEFAULT = "default"

_TYPES = {field.name: field.type for field in msgspec.structs.fields(Settings)}


class Config(msgspec.Struct, frozen=True, kw_only=True):
    """The checked configuration of one app.

    `sources`: for every key (`section.key` in a section), where its value comes from: a file, a variable, a keyword or
    "default". `config_file`: the file in use. `root`: the folder of that file, or the current folder if there is none.
    """

    settings: Settings
    backend_type: type[Backend]
    backend_settings: Any
    sources: Mapping[str, str]
    config_file: Path | None
    root: Path

    def __repr__(self) -> str:
        return f"Config(app_id={self.settings.app_id!r}, {self.settings.trigger_cls}, file={self.config_file})"


def load_config(**overrides: object) -> Config:
    """Reads and checks the configuration.

    Keywords are keys of Settings, and a mapping for each section; None counts as not given. Opens no backend and
    imports no code of the app. Raises ConfigError, which names key, value and source, and BackendNotInstalled if the
    distribution of the backend is missing.
    """
    folder = current_folder()
    found = find_config_file(os.environ, folder)
    layers = [environment_layer(os.environ, folder), keyword_layer(overrides, folder)]
    if found is not None:
        layers.insert(0, file_layer(found))
    backend_type = _backend_type(layers)
    _check_keys(layers, backend_type)
    root = found.path.parent if found else folder
    sources = dict.fromkeys(KEYS, DEFAULT)
    values = _settings_values(layers, sources)
    if "app_id" not in values:
        values["app_id"], sources["app_id"] = _default_app_id(found, root, backend_type)
    settings = Settings(**values)
    check_rules(settings, backend_type, sources)
    return Config(
        settings=settings,
        backend_type=backend_type,
        backend_settings=_backend_settings(layers, backend_type, folder, sources),
        sources=sources,
        config_file=found.path if found else None,
        root=root,
    )


def check_shared(config: Config, *, what: str) -> None:
    """Raises ConfigError if the backend keeps its data inside one process.

    `what` needs shared data, such as "--processes 4". It starts the message.
    """
    check_process_local(config.backend_type, f"{what} needs data that several processes share")


def _given(layers: Sequence[Layer], key: str, section: str | None = None) -> RawSetting | None:
    """The value of a key in the layer with the highest precedence."""
    for layer in reversed(layers):
        table = layer.table if section is None else layer.table.get(section, {})
        if isinstance(table, Mapping) and key in table:
            return RawSetting(layer, section, key, table[key])
    return None


def _backend_type(layers: Sequence[Layer]) -> type[Backend]:
    given = _given(layers, "trigger_cls")
    if given is None:
        return find_backend(Settings().trigger_cls)
    name = convert(given, _TYPES["trigger_cls"])
    try:
        return find_backend(name)
    except BackendNotInstalled as exc:
        raise BackendNotInstalled(f"{exc} (trigger_cls comes from: {given.source})") from exc
    except ConfigError as exc:
        raise ConfigError(f"{exc} (trigger_cls comes from: {given.source})") from exc


def _check_keys(layers: Sequence[Layer], backend_type: type[Backend]) -> None:
    """Refuses unknown keys and sections. Of the sections, only the one of the selected backend is checked inside."""
    sections = dict.fromkeys((*KNOWN_SECTIONS, backend_type.section))
    section_keys = backend_type.settings_type.__struct_fields__
    for layer in layers:
        for key, value in layer.table.items():
            if key in sections:
                _check_section(layer, key, value, section_keys if key == backend_type.section else None)
            elif key not in KEYS:
                elsewhere = layer.move_advice(backend_type.section, key) if key in section_keys else ""
                raise unknown_key(layer, None, key, (*KEYS, *sections), elsewhere)


def _check_section(layer: Layer, section: str, value: object, keys: Sequence[str] | None) -> None:
    if not isinstance(value, Mapping):
        raise RawSetting(layer, None, section, value).error(f"{section} is a section, not a value: set its keys")
    for key in value:
        if keys is not None and key not in keys:
            raise unknown_key(layer, section, key, keys, layer.move_advice(None, key) if key in KEYS else "")


def _settings_values(layers: Sequence[Layer], sources: dict[str, str]) -> dict[str, Any]:
    """The typed values of all keys that are set, and the default of `process_workers`. Adds their sources."""
    values: dict[str, Any] = {}
    for key, type_ in _TYPES.items():
        if given := _given(layers, key):
            values[key] = convert(given, type_)
            sources[key] = given.source
            if key == "app":
                values[key] = absolute_import_path(given, values[key])
    values["process_workers"] = values.get("process_workers") or os.cpu_count() or 1
    return values


def _default_app_id(found: ProjectFile | None, root: Path, backend_type: type[Backend]) -> tuple[str, str]:
    """The default of the app id, and its source. Raises ConfigError if the backend requires an explicit one."""
    if backend_type.needs_app_id:
        raise ConfigError(
            f"app_id is not set, but {backend_type.name} requires it, because apps may share its server: "
            f'set app_id = "…" in [{TABLE}], or {variable(None, "app_id")}'
        )
    project = found if found and found.name else next(project_files(root), None)
    if project and project.name:
        app_id, source = project.name, f"[project].name of {project.path}"
    else:
        app_id, source = root.name or "trigger-engine", f"name of the folder {root}"
    try:
        return msgspec.convert(app_id.encode().decode(), AppId), source
    except ValueError as exc:
        raise ConfigError(f'the {source} is not a valid app id: set app_id = "…" in [{TABLE}]') from exc


def _backend_settings(
    layers: Sequence[Layer], backend_type: type[Backend], folder: Path, sources: dict[str, str]
) -> msgspec.Struct:
    """The settings of the selected backend, with absolute paths. Adds their sources.

    The default of a path is relative to the current folder.
    """
    section, settings_type = backend_type.section, backend_type.settings_type
    defaults = Layer(kind="keyword", table={}, folder=folder)
    values: dict[str, Any] = {}
    for field in msgspec.structs.fields(settings_type):
        given = _given(layers, field.name, section)
        sources[f"{section}.{field.name}"] = given.source if given else DEFAULT
        if given is not None:
            values[field.name] = convert(given, field.type)
        if field.name in backend_type.path_keys:
            path = values.get(field.name, field.default)
            if isinstance(path, str):
                written = given or RawSetting(defaults, section, field.name, path)
                values[field.name] = absolute(written, path)
    try:
        return settings_type(**values)
    except (ValueError, TypeError) as exc:
        keys = ", ".join(f"{key} ({sources[f'{section}.{key}']})" for key in values) or "defaults"
        raise ConfigError(f"{table_name(section)}: {exc}; the values come from: {keys}") from exc
