"""The app for `trigger-engine run`, on the store that the environment names."""

from __future__ import annotations

import json
import os

from benchmarks.harness.apps import BenchmarkApp
from benchmarks.harness.stores import SETTINGS

app = BenchmarkApp(json.loads(os.environ[SETTINGS])).app
