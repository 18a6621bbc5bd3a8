"""Every runtime test runs on memory and on SQLite."""

from tests.support.apps import make_app

__all__ = ["make_app"]
