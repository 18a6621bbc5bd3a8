"""Tests whose processes share a log run on every backend that can be shared."""

from tests.support.apps import make_app

__all__ = ["make_app"]
