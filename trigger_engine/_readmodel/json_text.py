"""Converts records, values and payloads of any content to JSON text. Times are UTC; bytes are base64."""

from __future__ import annotations

import math
from datetime import datetime
from typing import Any

import msgspec

SEARCH_TEXT_LIMIT = 65_536
_decode = msgspec.msgpack.Decoder().decode
_encode = msgspec.json.Encoder(enc_hook=repr).encode


def json_text(value: Any) -> str:
    """Returns a value as one line of JSON."""
    return json_bytes(value).decode()


def json_bytes(value: Any) -> bytes:
    """Returns a value as encoded JSON."""
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
    """Converts keys to strings, and numbers that JSON cannot represent to None."""
    match value:
        case dict():
            return {key if isinstance(key, str) else str(key): _plain(item) for key, item in value.items()}
        case list() | tuple():
            return [_plain(item) for item in value]
        case float() if not math.isfinite(value):
            return None
        case _:
            return value


def search_text(payload: bytes) -> str:
    """Returns a msgpack value as compact casefolded JSON, cut to `SEARCH_TEXT_LIMIT` characters."""
    try:
        value = _decode(payload)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return ""
    try:
        text = _encode(value).decode()
    except (msgspec.MsgspecError, TypeError, ValueError, RecursionError):
        text = repr(value)
    return text[:SEARCH_TEXT_LIMIT].casefold()
