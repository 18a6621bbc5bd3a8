"""The sources of configuration: a TOML file, the environment, keywords. Each source is a `Layer` of raw values."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Literal

import msgspec

from trigger_engine.errors import ConfigError

PREFIX = "TRIGGER_ENGINE__"
FILE_VARIABLE = "TRIGGER_ENGINE_CONFIG"
FILE_NAME = "pyproject.toml"
TABLE = "tool.trigger_engine"


class Layer(msgspec.Struct, frozen=True, kw_only=True):
    """The raw values of one source.

    `table`: keys, and sections as nested tables. `folder`: the base of relative paths. Values of the environment are
    unparsed text.
    """

    kind: Literal["file", "environment", "keyword"]
    table: Mapping[str, object]
    folder: Path
    file: Path | None = None

    def source(self, section: str | None, key: str) -> str:
        """The source of a key, as text for messages: the file, the variable or the keyword."""
        if self.kind == "file":
            return str(self.file)
        if self.kind == "environment":
            return f"environment variable {variable(section, key)}"
        return f"keyword {section}[{key!r}]" if section else f"keyword {key}"

    def key_name(self, section: str | None, key: str) -> str:
        """The name of a key in this source."""
        return variable(section, key) if self.kind == "environment" else key

    def move_advice(self, section: str | None, key: str) -> str:
        """Advice for a key in the wrong table: where it belongs in this source."""
        if self.kind == "file":
            return f"it belongs to {table_name(section)}"
        if self.kind == "environment":
            return f"write {variable(section, key)}"
        return f"write {section}={{{key!r}: …}}" if section else f"write {key}=…"

    def place(self, section: str | None) -> str:
        """The table of a section, as text for messages."""
        if self.kind == "file":
            return f"{table_name(section)} of {self.file}"
        if self.kind == "environment":
            return "the environment"
        return f"the keyword {section}" if section else "the keywords"


class ProjectFile(msgspec.Struct, frozen=True, kw_only=True):
    """A TOML file. `table`: its `[tool.trigger_engine]`; `name`: its `[project].name`; None if it has none."""

    path: Path
    table: object
    name: str | None


def table_name(section: str | None) -> str:
    """The TOML table of a section, or of the keys outside the sections."""
    return f"[{TABLE}.{section}]" if section else f"[{TABLE}]"


def variable(section: str | None, key: str) -> str:
    """The environment variable of a key."""
    return PREFIX + (f"{section}__{key}" if section else key).upper()


def current_folder() -> Path:
    """The current folder. Raises ConfigError if it was removed."""
    try:
        return Path(os.getcwd())
    except OSError as exc:
        raise ConfigError("the current folder no longer exists: change to an existing folder") from exc


def read_project_file(path: Path) -> ProjectFile:
    """Reads a TOML file. Raises ConfigError if it cannot be read or is not valid TOML."""
    try:
        document = tomllib.loads(path.read_bytes().decode())
    except OSError as exc:
        raise ConfigError(f"{path}: cannot be read ({exc.strerror or exc}): fix it, or set {FILE_VARIABLE}") from exc
    except (ValueError, RecursionError) as exc:
        raise ConfigError(f"{path}: is not valid TOML: {exc}") from exc
    tool, project = document.get("tool"), document.get("project")
    name = project.get("name") if isinstance(project, dict) else None
    return ProjectFile(
        path=path,
        table=tool.get("trigger_engine") if isinstance(tool, dict) else None,
        name=name if isinstance(name, str) and name else None,
    )


def project_files(folder: Path) -> Iterator[ProjectFile]:
    """Iterates over the pyproject.toml files at or above a folder, nearest first. Each is read when it is reached."""
    for candidate in (folder, *folder.parents):
        path = candidate / FILE_NAME
        if os.path.isfile(path):
            yield read_project_file(path)


def find_config_file(environment: Mapping[str, str], folder: Path) -> ProjectFile | None:
    """Finds the configuration file: the one that the environment names, otherwise the nearest one with the table.

    Raises ConfigError if the named file is missing, unreadable or not TOML, or has no such table.
    """
    named = environment.get(FILE_VARIABLE)
    if not named:
        return next((found for found in project_files(folder) if found.table is not None), None)
    path = Path(os.path.abspath(folder / os.path.expanduser(named)))
    if not os.path.exists(path):
        raise ConfigError(f"{path}: no such file (named by {FILE_VARIABLE}): correct or unset {FILE_VARIABLE}")
    found = read_project_file(path)
    if found.table is None:
        raise ConfigError(f"{path}: has no [{TABLE}] table (file named by {FILE_VARIABLE}): add one")
    return found


def file_layer(found: ProjectFile) -> Layer:
    """The values of the table in a file. Raises ConfigError if `tool.trigger_engine` is not a table."""
    if not isinstance(found.table, dict):
        raise ConfigError(f"{found.path}: {TABLE} must be a table: write [{TABLE}] above its keys")
    return Layer(kind="file", table=found.table, folder=found.path.parent, file=found.path)


def environment_layer(environment: Mapping[str, str], folder: Path) -> Layer:
    """The values of all variables with the prefix. Raises ConfigError for a name that is not in upper case."""
    table: dict[str, object] = {}
    for name in sorted(name for name in environment if name.startswith(PREFIX)):
        if name != name.upper():
            raise ConfigError(f"environment variable {name}: must be in upper case: write {name.upper()}")
        head, nested, rest = name.removeprefix(PREFIX).lower().partition("__")
        if not nested:
            table[head] = environment[name]
            continue
        section = table.setdefault(head, {})
        if not isinstance(section, dict):
            raise ConfigError(
                f"environment variables {variable(None, head)} and {name} cannot both be set: unset one of them"
            )
        section[rest] = environment[name]
    return Layer(kind="environment", table=table, folder=folder)


def keyword_layer(keywords: Mapping[str, object], folder: Path) -> Layer:
    """The values of keywords. None counts as not given; a section is a mapping."""
    table = _without_none(keywords)
    for key, value in table.items():
        if isinstance(value, Mapping):
            table[key] = _without_none(value)
    return Layer(kind="keyword", table=table, folder=folder)


def _without_none(table: Mapping[object, object] | Mapping[str, object]) -> dict[str, object]:
    return {str(key): value for key, value in table.items() if value is not None}
