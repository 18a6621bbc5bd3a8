"""Checks and shows the setting `url`."""

from __future__ import annotations

from urllib.parse import urlsplit, urlunsplit


def shown(url: str) -> str:
    """The URL without user, password and options. Raises ValueError when it is not valid."""
    parts = urlsplit(url)
    if parts.scheme not in {"amqp", "amqps"}:
        raise ValueError("url must begin with amqp:// or amqps:// (TLS)")
    if not parts.hostname:
        raise ValueError("url must be amqp://USER:PASSWORD@HOST:PORT/VHOST")
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))
