"""A throw-away database for one measurement."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def fresh_app_module() -> Iterator[str]:
    """Sets BENCHMARK_DATABASE to a file of its own; `benchmarks.apps` is imported anew."""
    with tempfile.TemporaryDirectory(prefix="trigger-engine-benchmark-") as folder:
        path = str(Path(folder) / "benchmark.db")
        os.environ["BENCHMARK_DATABASE"] = path
        sys.modules.pop("benchmarks.apps", None)
        try:
            yield path
        finally:
            del os.environ["BENCHMARK_DATABASE"]
