"""The backends are distributions of their own, of one version with the engine, and found by name and by extra."""

import tomllib
from pathlib import Path
from typing import Any

import pytest

from tests.architecture.source_tree import name
from tests.support.project import ROOT
from trigger_engine._config.plugins import EXTRAS, find_backend

BACKENDS = sorted(path.parent for path in (ROOT / "backends").glob("*/pyproject.toml"))


def project(folder: Path) -> dict[str, Any]:
    """The `[project]` table of a distribution."""
    loaded: dict[str, Any] = tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return loaded


ENGINE = project(ROOT)
VERSION = ENGINE["version"]


def test_there_are_backends_to_check() -> None:
    assert ROOT / "backends" / "redis" in BACKENDS


@pytest.mark.parametrize("folder", BACKENDS, ids=name)
def test_a_backend_and_the_engine_need_each_other_in_the_same_version(folder: Path) -> None:
    own = project(folder)
    assert (own["name"], own["version"]) == (f"trigger-engine-{folder.name}", VERSION)
    assert f"trigger-engine=={VERSION}" in own["dependencies"]
    assert ENGINE["optional-dependencies"][folder.name] == [f"{own['name']}=={VERSION}"]


@pytest.mark.parametrize("folder", BACKENDS, ids=name)
def test_a_backend_is_found_by_the_name_that_its_extra_is_told_for(folder: Path) -> None:
    ((entry_point, place),) = project(folder)["entry-points"]["trigger_engine.backends"].items()
    assert EXTRAS[entry_point] == folder.name
    backend = find_backend(entry_point)
    assert f"{backend.__module__}:{backend.__name__}" == place
    assert (backend.name, backend.section) == (entry_point, folder.name)


@pytest.mark.parametrize("folder", BACKENDS, ids=name)
def test_a_backend_has_what_a_distribution_needs(folder: Path) -> None:
    assert (folder / "LICENSE").read_text(encoding="utf-8") == (ROOT / "LICENSE").read_text(encoding="utf-8")
    assert (folder / f"trigger_engine_{folder.name}" / "py.typed").is_file()
    readme = (folder / "README.md").read_text(encoding="utf-8")
    settings_type = find_backend(next(iter(project(folder)["entry-points"]["trigger_engine.backends"]))).settings_type
    assert [key for key in settings_type.__struct_fields__ if f"`{key}`" not in readme] == []
