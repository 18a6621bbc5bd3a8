"""One written value to one typed value, and the words of the errors when it cannot be."""

from __future__ import annotations

import os
import re
from collections.abc import Collection
from typing import Any

import msgspec
from msgspec import inspect

from trigger_engine.config.sources import Layer, table_name
from trigger_engine.errors import ConfigError

_SECRET_KEY = re.compile("password|passwd|secret|token", re.IGNORECASE)
_CREDENTIALS = re.compile(r"(?<=://)\S*@")
_SECRET_PARAMETER = re.compile(r"((?:password|passwd|secret|token)[^=&\s]*=)[^&\s'\"]*", re.IGNORECASE)
_LONGEST_SHOWN = 100


class Given(msgspec.Struct, frozen=True):
    """A value that a layer gives to a key; `section` is None outside the sections."""

    layer: Layer
    section: str | None
    key: str
    value: object

    @property
    def source(self) -> str:
        """Where it stands, for people."""
        return self.layer.source(self.section, self.key)

    def error(self, problem: str) -> ConfigError:
        """An error that names key, value and source."""
        key = f"{self.section}.{self.key}" if self.section else self.key
        return ConfigError(f"{key} = {shown(self.key, self.value)} ({self.source}): {problem}")


def shown(key: str, value: object) -> str:
    """A value for an error message: short, and without passwords."""
    if _SECRET_KEY.search(key):
        return "***"
    text = _SECRET_PARAMETER.sub(r"\1***", _CREDENTIALS.sub("***@", repr(value)))
    return text if len(text) <= _LONGEST_SHOWN else text[: _LONGEST_SHOWN - 1] + "…"


def converted(given: Given, type_: Any) -> Any:
    """The value as the key's type. Raises ConfigError that says what is allowed."""
    value = given.value
    textual = given.layer.kind == "environment" and isinstance(value, str)
    try:
        if textual:
            value = _parsed(str(value), type_)
        elif isinstance(value, os.PathLike):
            value = os.fspath(value)
        return msgspec.convert(_encodable(value), type_, strict=not textual)
    except (ValueError, TypeError, RecursionError) as exc:
        raise given.error(f"must be {allowed(type_)}") from exc


def _encodable(value: object) -> object:
    if isinstance(value, str):
        value.encode()
    elif isinstance(value, (list, tuple, set, frozenset)):
        for item in value:
            _encodable(item)
    return value


def _parsed(text: str, type_: Any) -> object:
    """What the text of a variable stands for: lists as JSON or comma-separated, mappings as JSON."""
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


def allowed(type_: Any) -> str:
    """What values a type takes, in words; its `extra["allowed"]` where it has one."""
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
            return "a text" + (" that is not empty" if info.min_length else "")
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
    words = [f"{word} {limit:,}" for word, limit in limits if limit is not None]
    return " " + " and ".join(words) if words else ""


def unknown_key(
    layer: Layer, section: str | None, key: str, names: Collection[str], elsewhere: str = ""
) -> ConfigError:
    """The error for a key that nothing has; suggests the nearest of `names`, or gives `elsewhere` as advice."""
    import difflib

    near = difflib.get_close_matches(key.lower(), names, n=1)
    if elsewhere:
        mend = elsewhere
    elif near:
        mend = f"did you mean {layer.spelled(section, near[0])!r}?"
    elif names:
        mend = f"the keys are {', '.join(layer.spelled(section, name) for name in names)}"
    else:
        mend = f"{table_name(section)} has no keys: remove it"
    return ConfigError(f"unknown key {layer.spelled(section, key)!r} in {layer.place(section)}: {mend}")
