"""Records and values as JSON, whatever they hold. Times are UTC; bytes are base64."""

from __future__ import annotations

import math
from datetime import datetime
from typing import Any

import msgspec


def json_text(value: Any) -> str:
    """A value as JSON in one line."""
    return json_bytes(value).decode()


def json_bytes(value: Any) -> bytes:
    """A value as encoded JSON."""
    try:
        return msgspec.json.encode(value, enc_hook=_foreign)
    except (TypeError, ValueError, OverflowError):
        builtins = msgspec.to_builtins(value, builtin_types=(datetime,), enc_hook=_foreign)
        return msgspec.json.encode(_plain(builtins))


def _foreign(value: Any) -> Any:
    if isinstance(value, msgspec.msgpack.Ext):
        return {"ext": value.code, "data": bytes(value.data)}
    return str(value)


def _plain(value: Any) -> Any:
    """Keys as strings, numbers that JSON has."""
    match value:
        case dict():
            return {key if isinstance(key, str) else str(key): _plain(item) for key, item in value.items()}
        case list() | tuple():
            return [_plain(item) for item in value]
        case float() if not math.isfinite(value):
            return None
        case _:
            return value
