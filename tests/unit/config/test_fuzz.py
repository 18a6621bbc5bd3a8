"""For any input, loading returns a configuration or raises ConfigError, and never anything else."""

import datetime
import os
from pathlib import Path
from unittest import mock

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from trigger_engine._config.loading import load_config
from trigger_engine._config.settings import KEYS, KNOWN_SECTIONS, Settings
from trigger_engine._config.sources import FILE_VARIABLE, PREFIX
from trigger_engine.errors import ConfigError

SECTION_KEYS = ("sqlite_db_path", "synchronous", "busy_timeout", "url")
CLASSES = ("SQLiteTrigger", "MemTrigger", "SQLiteBroker", "MemBroker", "ThreadRunner", "ProcessRunner")

words = (
    st.sampled_from(("", "tasks", "tasks:app", "a.py:app", "1", "-1", "0.5", "true", "a,b", '["a"]', *CLASSES))
    | st.text()
)
scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | words
    | st.binary(max_size=5)
    | st.datetimes()
    | st.dates()
    | st.sampled_from((datetime.timedelta(seconds=1), Path("a.db"), object, len))
)
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.tuples(inner)
        | st.dictionaries(st.text(max_size=3) | st.integers(), inner, max_size=3)
    ),
    max_leaves=6,
)
sections = st.dictionaries(st.sampled_from(SECTION_KEYS) | st.text(max_size=5), values, max_size=3)
tables = st.fixed_dictionaries(
    {},
    optional=dict.fromkeys(KEYS, values) | dict.fromkeys(KNOWN_SECTIONS, sections | values),
)
few = st.dictionaries(st.sampled_from((*KEYS, *KNOWN_SECTIONS)) | st.text(max_size=8), values | sections, max_size=4)
variable_text = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))
variables = st.dictionaries(
    st.sampled_from([PREFIX + key.upper() for key in KEYS] + [f"{PREFIX}SQLITE__{key.upper()}" for key in SECTION_KEYS])
    | variable_text.map(lambda text: PREFIX + text.replace("=", "")),
    words.map(lambda text: text.replace("\0", "").encode(errors="ignore").decode()) | variable_text,
    max_size=4,
)


def loads(**overrides: object) -> None:
    try:
        config = load_config(**overrides)
    except ConfigError:
        return
    assert isinstance(config.settings, Settings)
    msgspec.convert(msgspec.to_builtins(config.settings.queues), tuple[str, ...])
    msgspec.json.encode(config.settings)
    repr(config)


@given(keywords=few | tables)
def test_any_keywords(keywords: dict[str, object]) -> None:
    loads(**keywords)


@given(environment=variables)
def test_any_environment(environment: dict[str, str]) -> None:
    with mock.patch.dict(os.environ, environment):
        loads()


def toml(value: object) -> str:
    """A value in TOML syntax."""
    match value:
        case bool():
            return str(value).lower()
        case dict():
            return "{" + ", ".join(f"{toml(str(key))} = {toml(item)}" for key, item in value.items()) + "}"
        case list() | tuple():
            return "[" + ", ".join(toml(item) for item in value) + "]"
        case str():
            return '"' + "".join(f"\\U{ord(character):08x}" for character in value) + '"'
        case datetime.date():
            return value.isoformat()
        case int() | float():
            return repr(value)
        case _:
            return '"?"'


@given(table=few | tables)
def test_any_table(table: dict[str, object]) -> None:
    Path("pyproject.toml").write_text(f"[tool]\ntrigger_engine = {toml(table)}\n", encoding="utf-8")
    loads()


@given(text=st.text() | st.lists(words).map("\n".join).map(lambda text: f"[tool.trigger_engine]\n{text}"))
@settings(max_examples=50)
def test_any_file(text: str) -> None:
    Path("any.toml").write_bytes(text.encode(errors="replace"))
    with mock.patch.dict(os.environ, {FILE_VARIABLE: "any.toml"}):
        loads()
