"""The benchmarks' app for `trigger-engine run`, on the database that BENCHMARK_DATABASE names."""

from __future__ import annotations

import os
from pathlib import Path

from benchmarks.apps import BenchmarkApp

app = BenchmarkApp(Path(os.environ["BENCHMARK_DATABASE"])).app
