"""Converts raw configuration values to their types, with error messages that say what is allowed."""

from __future__ import annotations

import os
import re
from collections.abc import Collection
from typing import Any

import msgspec
from msgspec import inspect

from trigger_engine._config.sources import Layer, table_name
from trigger_engine.errors import ConfigError

_SECRET_KEY = re.compile("password|passwd|secret|token", re.IGNORECASE)
_CREDENTIALS = re.compile(r"(?<=://)\S*@")
_SECRET_PARAMETER = re.compile(r"((?:password|passwd|secret|token)[^=&\s]*=)[^&\s'\"]*", re.IGNORECASE)
_MAX_DISPLAY_LENGTH = 100


class RawSetting(msgspec.Struct, frozen=True):
    """The value of a key in a layer, as written. `section` is None for keys outside the sections."""

    layer: Layer
    section: str | None
    key: str
    value: object

    @property
    def source(self) -> str:
        """Where the value is set, as text for messages."""
        return self.layer.source(self.section, self.key)

    def error(self, problem: str) -> ConfigError:
        """An error that names the key, the value and its source."""
        key = f"{self.section}.{self.key}" if self.section else self.key
        return ConfigError(f"{key} = {display_value(self.key, self.value)} ({self.source}): {problem}")


def display_value(key: str, value: object) -> str:
    """A value as text for an error message, shortened and without passwords."""
    if _SECRET_KEY.search(key):
        return "***"
    text = _SECRET_PARAMETER.sub(r"\1***", _CREDENTIALS.sub("***@", repr(value)))
    return text if len(text) <= _MAX_DISPLAY_LENGTH else text[: _MAX_DISPLAY_LENGTH - 1] + "…"


def convert(given: RawSetting, type_: Any) -> Any:
    """Converts a value to the type of its key. Raises ConfigError, which says what is allowed."""
    value = given.value
    is_text = given.layer.kind == "environment" and isinstance(value, str)
    try:
        if is_text:
            value = _parsed(str(value), type_)
        elif isinstance(value, os.PathLike):
            value = os.fspath(value)
        return msgspec.convert(_check_encodable(value), type_, strict=not is_text)
    except (ValueError, TypeError, RecursionError) as exc:
        raise given.error(f"must be {allowed_values(type_)}") from exc


def _check_encodable(value: object) -> object:
    """Returns the value. Raises UnicodeEncodeError for a string with lone surrogates."""
    if isinstance(value, str):
        value.encode()
    elif isinstance(value, (list, tuple, set, frozenset)):
        for item in value:
            _check_encodable(item)
    return value


def _parsed(text: str, type_: Any) -> object:
    """Parses the text of an environment variable: lists as JSON or comma-separated, mappings as JSON."""
    match _bare(inspect.type_info(type_)):
        case inspect.StrType() | inspect.LiteralType() | inspect.EnumType():
            return text
        case inspect.CollectionType() | inspect.TupleType() if text.lstrip()[:1] != "[":
            return [item.strip() for item in text.split(",") if item.strip()]
        case inspect.CollectionType() | inspect.TupleType() | inspect.DictType():
            return msgspec.json.decode(text)
        case _:
            return text.strip()


def _bare(info: inspect.Type) -> inspect.Type:
    return _bare(info.type) if isinstance(info, inspect.Metadata) else info


def allowed_values(type_: Any) -> str:
    """Describes the values of a type: its `extra["allowed"]` if it has one, otherwise derived from the type."""
    info = inspect.type_info(type_)
    extra = (info.extra or {}) if isinstance(info, inspect.Metadata) else {}
    return str(extra.get("allowed") or _in_words(_bare(info), extra.get("unit")))


def _in_words(info: inspect.Type, unit: str | None) -> str:
    of_unit = f" of {unit}" if unit else ""
    match info:
        case inspect.BoolType():
            return "true or false"
        case inspect.IntType():
            return f"a whole number{of_unit}{_limits(info)}"
        case inspect.FloatType():
            return f"a number{of_unit}{_limits(info)}"
        case inspect.StrType():
            return "a non-empty string" if info.min_length else "a string"
        case inspect.LiteralType(values=values):
            return "one of " + ", ".join(repr(value) for value in values)
        case inspect.EnumType(cls=cls):
            return "one of " + ", ".join(repr(member.value) for member in cls)
        case inspect.NoneType():
            return "left out"
        case inspect.UnionType(types=types):
            return " or ".join(_in_words(_bare(member), unit) for member in types)
        case inspect.CollectionType(item_type=item):
            return f"a list, each item {_in_words(_bare(item), None)}"
        case inspect.TupleType() | inspect.DictType() | inspect.TypedDictType():
            return "a list" if isinstance(info, inspect.TupleType) else "a table"
        case _:
            return f"a value of the type {type(info).__name__.removesuffix('Type').lower()}"


def _limits(info: inspect.IntType | inspect.FloatType) -> str:
    limits = (("above", info.gt), ("of at least", info.ge), ("below", info.lt), ("at most", info.le))
    parts = [f"{word} {limit:,}" for word, limit in limits if limit is not None]
    return " " + " and ".join(parts) if parts else ""


def unknown_key(
    layer: Layer, section: str | None, key: str, names: Collection[str], elsewhere: str = ""
) -> ConfigError:
    """The error for an unknown key. It suggests `elsewhere` if given, otherwise the closest of `names`."""
    import difflib

    matches = difflib.get_close_matches(key.lower(), names, n=1)
    if elsewhere:
        fix = elsewhere
    elif matches:
        fix = f"did you mean {layer.key_name(section, matches[0])!r}?"
    elif names:
        fix = f"the keys are {', '.join(layer.key_name(section, name) for name in names)}"
    else:
        fix = f"{table_name(section)} has no keys: remove it"
    return ConfigError(f"unknown key {layer.key_name(section, key)!r} in {layer.place(section)}: {fix}")
