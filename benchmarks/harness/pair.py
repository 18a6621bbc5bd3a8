"""Compares this tree with another revision, measured alternately in one session.

`python -m benchmarks pair --before HEAD emit end_to_end` checks the revision out into a temporary folder and installs
it in an environment of its own, with the versions of dependencies that are installed here. Each pair measures both
trees, each with its own benchmarks; every other pair begins with this tree. The ratio of a pair is after divided by
before.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tomllib
import venv
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.metadata import distributions
from pathlib import Path
from statistics import median

from benchmarks.harness.measuring import fresh_folder
from benchmarks.harness.report import number, print_table
from benchmarks.harness.servers import BACKENDS

ROOT = Path(__file__).resolve().parents[2]
ONE_RUN = Path(__file__).with_name("one_run.py")
PAIRABLE = ("emit", "end_to_end", "tasks", "latency", "matcher", "start_up", "idle", "breakdown")
_HEAD = ("case", "unit", "before", "after", "ratio", "lowest–highest ratio", "in every pair")


@dataclass(frozen=True, slots=True)
class Tree:
    """A working tree and the interpreter of its environment."""

    folder: Path
    python: str


@dataclass(slots=True)
class Paired:
    """The values of one case, pair by pair."""

    unit: str
    before: list[float] = field(default_factory=list)
    after: list[float] = field(default_factory=list)

    @property
    def ratios(self) -> list[float]:
        return [after / before for before, after in zip(self.before, self.after, strict=False) if before]

    def row(self, case: str) -> tuple[str, ...]:
        """The cells of one case. A case that only one tree has gets no ratio."""
        before, after = (number(median(values)) if values else "" for values in (self.before, self.after))
        if not self.ratios:
            return case, self.unit, before, after, "", "", ""
        low, high = min(self.ratios), max(self.ratios)
        verdict = ("more" if low > 1 else "less" if high < 1 else "") if len(self.ratios) > 1 else ""
        return case, self.unit, before, after, f"{median(self.ratios):.3f}", f"{low:.3f}–{high:.3f}", verdict


def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks pair", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="+", metavar="NAME", choices=PAIRABLE, help=f"one of {', '.join(PAIRABLE)}")
    parser.add_argument("--before", required=True, metavar="REV", help="the revision to compare with")
    parser.add_argument("--pairs", type=int, default=5, help="how often both are measured (default: 5)")
    parser.add_argument("--backend", choices=list(BACKENDS), help="on a private server")
    parser.add_argument("--small", action="store_true", help="short runs that only show that it works")
    options = parser.parse_args(arguments)
    after = Tree(ROOT, sys.executable)
    with checked_out(options.before) as before:
        for name in options.names:
            found = paired(before, after, name, options.pairs, small=options.small, backend=options.backend)
            rows = [one.row(case) for case, one in found.items()]
            print_table(f"{name}, {options.before} and this tree, {options.pairs} pairs", _HEAD, rows)


def paired(
    before: Tree, after: Tree, name: str, pairs: int, *, small: bool = False, backend: str | None = None
) -> dict[str, Paired]:
    """Measures both trees alternately; the values by case."""
    found: dict[str, Paired] = {}
    for number_of_pair in range(pairs):
        trees = [before, after] if number_of_pair % 2 == 0 else [after, before]
        for tree in trees:
            for case, unit, value in measured_once(tree, name, small=small, backend=backend):
                one = found.setdefault(case, Paired(unit))
                (one.before if tree is before else one.after).append(value)
        print(f"{name}: pair {number_of_pair + 1} of {pairs}", file=sys.stderr)
    return found


def measured_once(tree: Tree, name: str, *, small: bool, backend: str | None) -> list[tuple[str, str, float]]:
    """Case, unit and value of each figure. Raises CalledProcessError when the benchmark fails."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    with fresh_folder() as folder:
        path = folder / "figures.json"
        words = [str(path), name, "small" if small else "full", *([backend] if backend else [])]
        source = ONE_RUN.read_text(encoding="utf-8")
        subprocess.run([tree.python, "-c", source, *words], cwd=tree.folder, env=environment, check=True)
        return [(case, unit, value) for case, unit, value in json.loads(path.read_text(encoding="utf-8"))]


@contextmanager
def checked_out(revision: str) -> Iterator[Tree]:
    """A revision in a temporary working tree with an environment of its own."""
    with fresh_folder() as folder:
        tree = folder / "tree"
        _git("worktree", "add", "--quiet", "--detach", str(tree), revision)
        try:
            yield Tree(tree, str(_environment(folder / "environment", tree)))
        finally:
            _git("worktree", "remove", "--force", str(tree))


def _environment(folder: Path, tree: Path) -> Path:
    """Installs a tree, its backends and what its benchmarks need; returns the interpreter."""
    venv.create(folder, with_pip=True)
    python = folder / ("Scripts" if os.name == "nt" else "bin") / "python"
    groups = tomllib.loads((tree / "pyproject.toml").read_text(encoding="utf-8"))["dependency-groups"]
    wanted = [each for each in groups["bench"] if isinstance(each, str)]
    extras = f"{tree}[uvloop]" if _installed("uvloop") else str(tree)
    editable = [extras, *sorted(str(path.parent) for path in tree.glob("backends/*/pyproject.toml"))]
    pip = [str(python), "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
    words = [*wanted, *(word for each in editable for word in ("-e", each))]
    constraints = folder / "constraints.txt"
    constraints.write_text("".join(f"{name}=={version}\n" for name, version in _versions().items()), encoding="utf-8")
    if subprocess.run([*pip, "--constraint", str(constraints), *words], check=False).returncode:
        print("the revision needs other versions of its dependencies than are installed here", file=sys.stderr)
        subprocess.run([*pip, *words], check=True)
    return python


def _versions() -> dict[str, str]:
    """The versions of the third-party packages that are installed here."""
    return {
        one.metadata["Name"]: one.version
        for one in distributions()
        if not one.metadata["Name"].startswith("trigger-engine")
    }


def _installed(name: str) -> bool:
    return name in _versions()


def _git(*words: str) -> None:
    subprocess.run(["git", *words], cwd=ROOT, check=True)
