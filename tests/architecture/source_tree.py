"""The project's own source files, for the tests that read them."""

from pathlib import Path

from tests.support.project import ROOT

PACKAGE = ROOT / "trigger_engine"


def python_files(*folders: str) -> list[Path]:
    """Every Python file below these folders of the project; a folder that does not exist has none."""
    return sorted(
        path for folder in folders for path in (ROOT / folder).rglob("*.py") if "__pycache__" not in path.parts
    )


def name(path: Path) -> str:
    """The path as people write it, from the project's folder on."""
    return path.relative_to(ROOT).as_posix()
