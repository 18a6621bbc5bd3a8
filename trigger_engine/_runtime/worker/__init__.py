"""The worker, part of every runner: claims invocations, runs them, and records their outcomes."""
