"""The monitor: web pages that show every event, every trigger run, and why."""

from trigger_engine.monitor.application import Monitor, asgi_app

__all__ = ["Monitor", "asgi_app"]
