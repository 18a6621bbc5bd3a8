"""An hour of mixed load that must leave everything flat: `python -m benchmarks.soak`."""
