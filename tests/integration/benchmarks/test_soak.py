"""A soak of a few seconds: too short to be flat, long enough for the load to run and the audits to pass."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.harness.report import DOCS
from benchmarks.soak.result import is_good, page, plot, verdicts_of
from tests.support.project import ROOT

EACH = ("runner 1", "runner 2", "emitter 1", "emitter 2", "reader")


def test_documented_soak_follows_from_its_samples() -> None:
    result = json.loads((DOCS / "soak.json").read_text(encoding="utf-8"))
    verdicts = verdicts_of(result["series"], result["load"])
    assert {name: result[name] for name in verdicts} == verdicts
    assert is_good(result)
    assert page(result) == (DOCS / "soak.md").read_text(encoding="utf-8")
    assert plot(result) == (DOCS / "soak.svg").read_text(encoding="utf-8")


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    "on", [(), pytest.param(("--backend=redis",), marks=pytest.mark.servers)], ids=["file", "server"]
)
def test_short_soak_measures_everything_and_its_audits_pass(tmp_path: Path, on: tuple[str, ...]) -> None:
    command = [sys.executable, "-m", "benchmarks.soak", "--minutes=0.15", "--retention=0.1", "--rate=40", *on]
    command.append(f"--keep={tmp_path}")
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=500, check=False)
    assert (tmp_path / "soak.json").exists(), done.stderr
    result = json.loads((tmp_path / "soak.json").read_text(encoding="utf-8"))
    assert done.returncode == (0 if is_good(result) else 1)
    assert result["violations"] == {}
    assert result["left_open"] == 0
    assert result["audits_too_late"] == 0
    assert 200 < result["entries"] < 20_000
    assert result["series"]["log: entries"][-1][1] > 0
    assert {f"{name}: memory, MiB" for name in EACH} <= result["series"].keys()
    assert result["verdicts"].keys() | {"work: entries a second"} == result["series"].keys()
    assert page(result) == (tmp_path / "soak.md").read_text(encoding="utf-8")
    assert plot(result) == (tmp_path / "soak.svg").read_text(encoding="utf-8")
