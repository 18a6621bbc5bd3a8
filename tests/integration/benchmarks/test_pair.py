"""Paired measurements of two trees."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.harness import pair
from benchmarks.harness.pair import ONE_RUN, ROOT, Paired, Tree, measured_once, paired

FIGURE = """
from collections import namedtuple
Figure = namedtuple("Figure", "case unit value")
"""
OLD = (
    FIGURE
    + """
from benchmarks import harness
def measure(*, small):
    yield Figure("runs", "times", harness.RUNS)
    yield Figure("small", "yes", int(small))
"""
)
NEW = (
    FIGURE
    + """
def measure(*, small, backend=None, runs=None):
    yield Figure("runs", "times", runs)
    yield Figure("backend", "letters", len(backend or ""))
"""
)


def tree(folder: Path, source: str) -> Tree:
    benchmarks = folder / "benchmarks"
    benchmarks.mkdir(parents=True)
    (benchmarks / "__init__.py").touch()
    (benchmarks / "harness.py").write_text("RUNS = 3\n", encoding="utf-8")
    (benchmarks / "made_up.py").write_text(source, encoding="utf-8")
    return Tree(folder, sys.executable)


def test_each_tree_measures_once_with_its_own_benchmarks(tmp_path: Path) -> None:
    before, after = tree(tmp_path / "before", OLD), tree(tmp_path / "after", NEW)
    assert measured_once(before, "made_up", small=True, backend=None) == [("runs", "times", 1), ("small", "yes", 1)]
    assert measured_once(after, "made_up", small=False, backend="redis") == [
        ("runs", "times", 1),
        ("backend", "letters", 5),
    ]


def test_trees_take_turns_to_be_first(monkeypatch: pytest.MonkeyPatch) -> None:
    before, after = Tree(Path("before"), ""), Tree(Path("after"), "")
    order = []

    def measured(tree: Tree, name: str, **_: object) -> list[tuple[str, str, float]]:
        order.append(tree.folder.name)
        return [("rate", "x/s", 10.0 if tree is before else 10.0 + len(order))]

    monkeypatch.setattr(pair, "measured_once", measured)
    found = paired(before, after, "emit", 3)
    assert order == ["before", "after", "after", "before", "before", "after"]
    assert found["rate"].ratios == [1.2, 1.3, 1.6]


def test_row_has_medians_ratio_spread_and_whether_all_pairs_agree() -> None:
    better = Paired("x/s", [100.0, 110.0, 100.0], [120.0, 121.0, 130.0])
    assert better.row("rate") == ("rate", "x/s", "100", "121", "1.200", "1.100–1.300", "more")
    assert Paired("ms", [1.0, 1.0], [0.9, 1.1]).row("delay")[-1] == ""
    assert Paired("ms", [], [2.0]).row("new") == ("new", "ms", "", "2", "", "", "")


def test_real_benchmark_is_measured_once(tmp_path: Path) -> None:
    path = tmp_path / "figures.json"
    command = [sys.executable, "-c", ONE_RUN.read_text(encoding="utf-8"), str(path), "idle", "small"]
    subprocess.run(command, cwd=ROOT, check=True, timeout=60)
    ((case, unit, value),) = json.loads(path.read_text(encoding="utf-8"))
    assert (case, unit) == ("SQLite, one runner", "% of a core")
    assert value > 0


def test_command_needs_a_revision() -> None:
    command = [sys.executable, "-m", "benchmarks", "pair", "emit"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert "--before" in done.stderr
