"""An hour of mixed load on one SQLite file, to see that nothing grows: `python -m benchmarks.soak`."""
