"""docs/configuration.md lists every key as `Settings` and the backends declare it.

`python -m tests.unit.config.test_documentation` rewrites the tables of `Settings` and of the plugins.
"""

import re
import tomllib
from typing import Any

import msgspec
import pytest
from msgspec import inspect

from tests.support.project import ROOT
from tests.unit.config.conftest import Write
from trigger_engine._config.loading import load_config
from trigger_engine._config.plugins import find_backend
from trigger_engine._config.settings import KNOWN_SECTIONS, Settings

PAGE = ROOT / "docs" / "configuration.md"
PLUGINS = ["RedisTrigger", "MongoTrigger", "RabbitMQTrigger"]
HEAD = "| Key | Default | Unit | Meaning |\n|---|---|---|---|\n"


def table(settings_type: type[msgspec.Struct]) -> str:
    """The keys of a Struct as a Markdown table."""
    return HEAD + "".join(row(field) for field in msgspec.structs.fields(settings_type))


def row(field: msgspec.structs.FieldInfo) -> str:
    info = inspect.type_info(field.type)
    assert isinstance(info, inspect.Metadata), f"{field.name} has no description"
    extra, described = info.extra or {}, info.extra_json_schema or {}
    default = extra.get("default") or f"`{written(field.default)}`"
    return f"| `{field.name}` | {default} | {extra.get('unit', '')} | {described['description']} |\n"


def written(value: Any) -> str:
    """A default in TOML syntax."""
    match value:
        case bool():
            return str(value).lower()
        case str():
            return f'"{value}"'
        case tuple():
            return str(list(value))
        case float():
            return f"{value:g}"
        case _:
            return str(value)


def between(page: str, name: str) -> str:
    found = re.search(rf"<!-- keys of {re.escape(name)} -->\n\n(.*?)\n<!-- end -->", page, re.DOTALL)
    assert found, f"the page has no table for {name}"
    return found[1]


def test_page_lists_every_key_as_it_is() -> None:
    assert between(PAGE.read_text(encoding="utf-8"), "trigger_engine") == table(Settings)


def test_page_lists_every_key_of_sqlite_with_its_default() -> None:
    rows = between(PAGE.read_text(encoding="utf-8"), "trigger_engine.sqlite").removeprefix(HEAD)
    listed = dict(re.findall(r"^\| `(\w+)` \| `(.*?)` \| \w* \| \S.* \|$", rows, re.MULTILINE))
    fields = msgspec.structs.fields(find_backend("SQLiteTrigger").settings_type)
    assert listed == {field.name: written(field.default) for field in fields}


@pytest.mark.parametrize("name", PLUGINS)
def test_page_lists_every_key_of_a_plugin_as_it_is(name: str) -> None:
    backend = find_backend(name)
    assert between(PAGE.read_text(encoding="utf-8"), f"trigger_engine.{backend.section}") == table(
        backend.settings_type
    )


def test_page_names_every_section_that_is_accepted() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert [section for section in KNOWN_SECTIONS if f"`{section}`" not in page] == []


def test_examples_of_the_page_are_accepted(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    page = PAGE.read_text(encoding="utf-8")
    examples = re.findall(r"```toml\n(.*?)```", page, re.DOTALL)
    assert examples
    for example in examples:
        tomllib.loads(example)
        write(example)
        load_config()
    variables = re.findall(r"^(TRIGGER_ENGINE__\w+)=(\S*)", page, re.MULTILINE)
    assert variables
    for name, value in variables:
        monkeypatch.setenv(name, value.strip("'"))
    load_config()


if __name__ == "__main__":
    tables: dict[str, type[msgspec.Struct]] = {"trigger_engine": Settings}
    tables |= {f"trigger_engine.{find_backend(name).section}": find_backend(name).settings_type for name in PLUGINS}
    text = PAGE.read_text(encoding="utf-8")
    for name, settings_type in tables.items():
        text = text.replace(f"{name} -->\n\n{between(text, name)}", f"{name} -->\n\n{table(settings_type)}")
    PAGE.write_text(text, encoding="utf-8")
