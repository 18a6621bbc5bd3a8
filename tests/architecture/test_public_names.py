"""What is public is pinned in public_names.txt; whoever builds on the engine imports nothing else.

`python -m tests.architecture.test_public_names` writes the list anew, for a change of the public interface on purpose.
"""

import re
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest

from tests.architecture.imports import imported_names, module_name
from tests.architecture.source_tree import PACKAGE, name, python_files
from tests.support.project import ROOT

LIST = Path(__file__).with_name("public_names.txt")
PUBLIC = (
    "trigger_engine",
    "trigger_engine.backend",
    "trigger_engine.errors",
    "trigger_engine.monitor",
    "trigger_engine.testing",
    "trigger_engine.testing.conformance",
)
PAGES = sorted([ROOT / "README.md", *ROOT.glob("docs/**/*.md"), *ROOT.glob("backends/*/README.md")])
BUILT_ON_IT = [*python_files("examples"), *(path for path in python_files("backends") if "tests" not in path.parts)]


def public_names() -> list[str]:
    return [f"{module}.{public}" for module in PUBLIC for public in sorted(import_module(module).__all__)]


def private_imports(source: str) -> list[str]:
    """The names of the engine that a source imports and that are not public."""
    public = {*PUBLIC, *public_names()}
    return [
        found for found in imported_names(source) if re.match(r"trigger_engine(\.|$)", found) and found not in public
    ]


def code_blocks(page: str) -> Iterator[str]:
    yield from re.findall(r"^```python\n(.*?)^```", page, re.MULTILINE | re.DOTALL)


def test_the_public_names_are_those_of_the_list() -> None:
    assert public_names() == LIST.read_text(encoding="utf-8").split()


def test_every_other_module_has_a_private_name() -> None:
    modules = {module_name(path, PACKAGE.parent) for path in PACKAGE.rglob("*.py")} - {"trigger_engine.__main__"}
    assert {module for module in modules if "._" not in module} == set(PUBLIC)


@pytest.mark.parametrize("public", PUBLIC)
def test_a_public_module_offers_no_unlisted_name(public: str) -> None:
    module = import_module(public)
    own = {
        each for each, value in vars(module).items() if getattr(value, "__module__", "").startswith("trigger_engine")
    }
    assert {each for each in own if not each.startswith("_")} <= set(module.__all__)


@pytest.mark.parametrize("path", BUILT_ON_IT, ids=name)
def test_backends_and_examples_import_public_names_only(path: Path) -> None:
    assert private_imports(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize("path", PAGES, ids=name)
def test_documentation_imports_public_names_only(path: Path) -> None:
    page = path.read_text(encoding="utf-8")
    assert [found for block in code_blocks(page) for found in private_imports(block)] == []
    assert not re.findall(r"trigger_engine\._\w+", page)


def test_private_imports_are_found() -> None:
    source = "from trigger_engine import Event, _engine\nimport trigger_engine._storage.sqlite, trigger_engine_redis"
    assert private_imports(source) == ["trigger_engine._engine", "trigger_engine._storage.sqlite"]


if __name__ == "__main__":
    LIST.write_text("\n".join(public_names()) + "\n", encoding="utf-8")
