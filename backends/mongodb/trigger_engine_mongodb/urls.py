"""Checks and shows the setting `url`."""

from __future__ import annotations

from urllib.parse import parse_qsl, urlsplit, urlunsplit


def check_url(url: str) -> None:
    """Raises ValueError when the URL is not valid; host names are resolved when the log is opened."""
    if not url.startswith(("mongodb://", "mongodb+srv://")):
        raise ValueError("url must begin with mongodb:// or mongodb+srv://")
    if not urlsplit(url).netloc.rpartition("@")[2]:
        raise ValueError("url must be mongodb://HOST:PORT,HOST:PORT/?OPTIONS")


def shown(url: str) -> str:
    """The URL without user, password and secret options."""
    parts = urlsplit(url)
    public = [f"{key}={value}" for key, value in parse_qsl(parts.query) if "password" not in key.lower()]
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "&".join(public), ""))
