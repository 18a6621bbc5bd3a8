"""Parses the setting `url`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit, urlunsplit

import msgspec
from redis.asyncio.connection import parse_url as parse_redis_url

_SENTINEL = {"redis+sentinel": "redis", "rediss+sentinel": "rediss"}
_SENTINEL_PORT = 26379


class Address(msgspec.Struct, frozen=True):
    """A parsed URL. `options`: keyword arguments of redis-py's connections, with `connection_class` unless it is TCP.

    `sentinels`: host and port of each; `service`: the name of the primary that they watch. `shown`: the URL without
    secrets, for people.
    """

    shown: str
    options: Mapping[str, Any]
    sentinels: tuple[tuple[str, int], ...] = ()
    service: str = ""


def parse_url(url: str) -> Address:
    """Raises ValueError when the URL is not valid."""
    scheme = url.partition("://")[0]
    if scheme in _SENTINEL:
        return _parse_sentinel_url(url, scheme)
    if scheme not in {"redis", "rediss", "unix"}:
        raise ValueError(
            "url must begin with redis://, rediss:// (TLS), unix://, redis+sentinel:// or rediss+sentinel://"
        )
    return Address(_shown(url), dict(parse_redis_url(url)))


def _parse_sentinel_url(url: str, scheme: str) -> Address:
    parts = urlsplit(url)
    credentials, _, hosts = parts.netloc.rpartition("@")
    service, _, database = unquote(parts.path).strip("/").partition("/")
    if not hosts or not service:
        raise ValueError(f"url must be {scheme}://HOST:PORT,HOST:PORT/SERVICE or …/SERVICE/DB")
    # redis-py parses the options from a URL with any host; the Sentinels name the real one.
    netloc = f"{credentials}@unknown" if credentials else "unknown"
    plain = urlunsplit((_SENTINEL[scheme], netloc, f"/{database or 0}", parts.query, ""))
    options = {key: value for key, value in dict(parse_redis_url(plain)).items() if key not in {"host", "port"}}
    sentinels = tuple(_host_and_port(each) for each in hosts.split(","))
    return Address(_shown(url), options, sentinels, service)


def _host_and_port(text: str) -> tuple[str, int]:
    host, colon, port = text.rpartition(":")
    if not colon or "]" in port:
        host, port = text, str(_SENTINEL_PORT)
    if not host or not port.isdecimal():
        raise ValueError(f"{text!r} is not HOST:PORT")
    return host.strip("[]"), int(port)


def _shown(url: str) -> str:
    """The URL without user, password and secret options."""
    parts = urlsplit(url)
    public = [f"{key}={value}" for key, value in parse_qsl(parts.query) if "password" not in key]
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "&".join(public), ""))
