"""No two modules import each other, however many stand between them, in the engine and in the backends."""

from pathlib import Path

from tests.architecture.imports import circles, import_graph
from tests.architecture.source_tree import PACKAGE
from tests.support.project import ROOT

BACKENDS = sorted(path.parent for path in ROOT.glob("backends/*/trigger_engine_*/__init__.py"))


def test_no_module_imports_itself_through_others() -> None:
    graph = import_graph(PACKAGE, *BACKENDS)
    assert len(graph) > 250
    assert circles(graph) == []


def test_circles_are_found(tmp_path: Path) -> None:
    package = tmp_path / "p"
    (package / "deep").mkdir(parents=True)
    sources = {
        "__init__.py": "",
        "a.py": "from p import b",
        "b.py": "def f():\n    from p.deep.c import x",
        "deep/__init__.py": "",
        "deep/c.py": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from p.a import f\nimport p.d",
        "d.py": "import os",
    }
    for name, source in sources.items():
        (package / name).write_text(source, encoding="utf-8")
    assert circles(import_graph(package)) == [["p.a", "p.b", "p.deep.c"]]
