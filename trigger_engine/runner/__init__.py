"""Runners: they lead (one at a time), they work (all of them), and they say that they live."""

from trigger_engine.runner.runner import Runner
from trigger_engine.runner.signals import run_until_stopped

__all__ = ["Runner", "run_until_stopped"]
