"""From all sources to one checked `Config`: defaults < pyproject.toml < environment < keywords."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from trigger_engine.config.conversion import Given, converted, unknown_key
from trigger_engine.config.paths import absolute, absolute_import_path
from trigger_engine.config.rules import check_process_local, check_rules
from trigger_engine.config.settings import KEYS, KNOWN_SECTIONS, AppId, Settings
from trigger_engine.config.sources import (
    TABLE,
    Layer,
    ProjectFile,
    current_folder,
    environment_layer,
    file_in_use,
    file_layer,
    keyword_layer,
    project_files,
    table_name,
    variable,
)
from trigger_engine.errors import BackendNotInstalled, ConfigError
from trigger_engine.log.contract import Backend
from trigger_engine.log.plugins import find_backend

DEFAULT = "default"

_TYPES = {field.name: field.type for field in msgspec.structs.fields(Settings)}


class Config(msgspec.Struct, frozen=True, kw_only=True):
    """The checked configuration of one app.

    `sources` says for every key (a section's as `section.key`) what gave it its value: a file, a variable, a keyword
    or "default". `config_file` is the file in use; `root` its folder, else the folder that was current.
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
    """Reads and checks the configuration as it is now; keywords are keys of Settings, and a mapping for each section.

    A keyword that is None counts as not given. Opens nothing and imports no code of the app. Raises ConfigError, which
    names key, value and source, and BackendNotInstalled when the backend's distribution is missing.
    """
    folder = current_folder()
    found = file_in_use(os.environ, folder)
    layers = [environment_layer(os.environ, folder), keyword_layer(overrides, folder)]
    if found is not None:
        layers.insert(0, file_layer(found))
    backend_type = _backend_type(layers)
    _check_keys(layers, backend_type)
    root = found.path.parent if found else folder
    sources = dict.fromkeys(KEYS, DEFAULT)
    values = _settings_values(layers, sources)
    if "app_id" not in values:
        values["app_id"], sources["app_id"] = _guessed_app_id(found, root, backend_type)
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
    """Raises ConfigError when the app's data lives inside one process, for `what` would need it in others.

    `what` begins the message, such as "--processes 4".
    """
    check_process_local(config.backend_type, f"{what} needs data that several processes share")


def _given(layers: Sequence[Layer], key: str, section: str | None = None) -> Given | None:
    """The strongest layer's value of a key."""
    for layer in reversed(layers):
        table = layer.table if section is None else layer.table.get(section, {})
        if isinstance(table, Mapping) and key in table:
            return Given(layer, section, key, table[key])
    return None


def _backend_type(layers: Sequence[Layer]) -> type[Backend]:
    given = _given(layers, "trigger_cls")
    if given is None:
        return find_backend(Settings().trigger_cls)
    name = converted(given, _TYPES["trigger_cls"])
    try:
        return find_backend(name)
    except BackendNotInstalled as exc:
        raise BackendNotInstalled(f"{exc} (trigger_cls comes from: {given.source})") from exc
    except ConfigError as exc:
        raise ConfigError(f"{exc} (trigger_cls comes from: {given.source})") from exc


def _check_keys(layers: Sequence[Layer], backend_type: type[Backend]) -> None:
    """Refuses keys and sections that nothing has; the selected backend's section alone is looked into."""
    sections = dict.fromkeys((*KNOWN_SECTIONS, backend_type.section))
    section_keys = backend_type.settings_type.__struct_fields__
    for layer in layers:
        for key, value in layer.table.items():
            if key in sections:
                _check_section(layer, key, value, section_keys if key == backend_type.section else None)
            elif key not in KEYS:
                elsewhere = layer.moved_to(backend_type.section, key) if key in section_keys else ""
                raise unknown_key(layer, None, key, (*KEYS, *sections), elsewhere)


def _check_section(layer: Layer, section: str, value: object, keys: Sequence[str] | None) -> None:
    if not isinstance(value, Mapping):
        raise Given(layer, None, section, value).error(f"{section} is a section with keys of its own, not a value")
    for key in value:
        if keys is not None and key not in keys:
            raise unknown_key(layer, section, key, keys, layer.moved_to(None, key) if key in KEYS else "")


def _settings_values(layers: Sequence[Layer], sources: dict[str, str]) -> dict[str, Any]:
    """The typed values of all keys that some layer gives, and the number of CPUs; notes their sources."""
    values: dict[str, Any] = {}
    for key, type_ in _TYPES.items():
        if given := _given(layers, key):
            values[key] = converted(given, type_)
            sources[key] = given.source
            if key == "app":
                values[key] = absolute_import_path(given, values[key])
    values["process_workers"] = values.get("process_workers") or os.cpu_count() or 1
    return values


def _guessed_app_id(found: ProjectFile | None, root: Path, backend_type: type[Backend]) -> tuple[str, str]:
    """The app id that nothing sets, and where it was taken from."""
    if backend_type.needs_app_id:
        raise ConfigError(
            f"app_id is not set, and {backend_type.name} demands one, since apps may share its server: "
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
        raise ConfigError(f'the {source} cannot be an app id: set app_id = "…" in [{TABLE}]') from exc


def _backend_settings(
    layers: Sequence[Layer], backend_type: type[Backend], folder: Path, sources: dict[str, str]
) -> msgspec.Struct:
    """The selected backend's settings, paths made absolute, defaults from the current folder; notes their sources."""
    section, settings_type = backend_type.section, backend_type.settings_type
    defaults = Layer(kind="keyword", table={}, folder=folder)
    values: dict[str, Any] = {}
    for field in msgspec.structs.fields(settings_type):
        given = _given(layers, field.name, section)
        sources[f"{section}.{field.name}"] = given.source if given else DEFAULT
        if given is not None:
            values[field.name] = converted(given, field.type)
        if field.name in backend_type.path_keys:
            path = values.get(field.name, field.default)
            if isinstance(path, str):
                written = given or Given(defaults, section, field.name, path)
                values[field.name] = absolute(written, path)
    try:
        return settings_type(**values)
    except (ValueError, TypeError) as exc:
        keys = ", ".join(f"{key} ({sources[f'{section}.{key}']})" for key in values) or "defaults"
        raise ConfigError(f"{table_name(section)}: {exc}; its values come from: {keys}") from exc
