"""Measures one benchmark once in the tree that is the current folder. `pair` runs this source in both trees.

Arguments: a file for the figures, the benchmark, `small` or `full`, and optionally a backend. It uses only what the
benchmarks of every revision have: `benchmarks.NAME.measure(small=..., backend=...)`, which yields figures.
"""

import importlib
import inspect
import json
import sys
from pathlib import Path

path, name, size, *backend = sys.argv[1:]
measure = importlib.import_module(f"benchmarks.{name}").measure
options: dict[str, object] = {"small": size == "small"}
if backend:
    options["backend"] = backend[0]
if "runs" in inspect.signature(measure).parameters:
    options["runs"] = 1
else:
    # Older revisions repeat each measurement this often.
    vars(importlib.import_module("benchmarks.harness"))["RUNS"] = 1
found = [[figure.case, figure.unit, figure.value] for figure in measure(**options)]
Path(path).write_text(json.dumps(found), encoding="utf-8")
