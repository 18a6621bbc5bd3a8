"""The text of a payload that searches look at."""

from __future__ import annotations

import msgspec

LONGEST = 65_536

_decode = msgspec.msgpack.Decoder().decode
_encode = msgspec.json.Encoder(enc_hook=repr).encode


def search_text(payload: bytes) -> str:
    """A msgpack value as compact JSON, casefolded; at most its first `LONGEST` characters."""
    try:
        value = _decode(payload)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return ""
    try:
        text = _encode(value).decode()
    except (msgspec.MsgspecError, TypeError, ValueError, RecursionError):
        text = repr(value)
    return text[:LONGEST].casefold()
