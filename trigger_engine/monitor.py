"""The monitor: web pages that show every event, every trigger run, and why it fired.

`asgi_app(app)` is an ASGI app to serve or to mount; `trigger-engine monitor` serves it.
"""

from trigger_engine._monitor.application import Monitor, asgi_app

__all__ = ["Monitor", "asgi_app"]
