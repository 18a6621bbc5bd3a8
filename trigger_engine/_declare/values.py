"""Encodes values as msgpack and decodes them. Every backend stores arguments, results and payloads in this form."""

from __future__ import annotations

import typing
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

import msgspec

from trigger_engine.errors import PayloadTooLarge, SerializationError

EncHook = Callable[[Any], Any]
"""Converts a value of a custom type to one that can be encoded. Raises NotImplementedError for unknown types."""

DecHook = Callable[[type, Any], Any]
"""Converts an encoded value to an annotated type. Raises NotImplementedError for unknown types."""

_SPARE_LEVELS = b"\x91" * 400
"""Additional nesting for the depth check: a value may be read inside an entry, or with many frames on the stack."""
_ALWAYS_SHALLOW = 256
"""Values of up to this many bytes cannot be nested too deeply."""
_TOO_DEEP = "it is nested too deeply, or contains itself"
_WHAT_TO_PASS = (
    "pass builtins, dataclasses, msgspec Structs or Pydantic models, or give TriggerEngine an enc_hook and a dec_hook"
)

_SCALARS = frozenset({type(None), bool, int, float, str, bytes})

_skip = msgspec.msgpack.Decoder(msgspec.Raw).decode
_unpack = msgspec.msgpack.Decoder(dict[str, msgspec.Raw]).decode
_read = msgspec.msgpack.Decoder().decode
_encode_payload = msgspec.msgpack.Encoder().encode


class Codec:
    """Encodes and decodes values with msgspec, and Pydantic models with their own methods.

    `enc_hook` and `dec_hook` are called for all other types that msgspec does not support.
    """

    def __init__(self, enc_hook: EncHook | None = None, dec_hook: DecHook | None = None) -> None:
        self._enc_hook = enc_hook
        self._dec_hook = dec_hook
        self._encode = msgspec.msgpack.Encoder(enc_hook=self._to_encodable).encode
        self._encode_sorted = msgspec.msgpack.Encoder(enc_hook=self._to_encodable, order="deterministic").encode
        self._decoders: dict[Any, msgspec.msgpack.Decoder[Any]] = {}

    def encode(self, value: Any, *, what: str, canonical: bool = False) -> msgspec.Raw:
        """Encodes a value as msgpack. `what` names the value in errors, such as "task a.b, argument x".

        `canonical`: sort sets and keys, so that equal values have equal bytes in every process.
        Raises SerializationError, also for values that can be encoded but not decoded safely.
        """
        try:
            encoded = self._encode_canonical(value) if canonical else self._encode(value)
            if type(value) not in _SCALARS:
                _check_readable(encoded)
        except Exception as exc:
            raise SerializationError(
                f"{what}: a value of type {type_name(type(value))} cannot be encoded: {_reason(exc)}"
            ) from exc
        return msgspec.Raw(encoded)

    def pack(self, encoded: Mapping[str, msgspec.Raw]) -> msgspec.Raw:
        """Packs values that `encode` returned into one mapping."""
        return msgspec.Raw(self._encode(encoded))

    def unpack(self, raw: msgspec.Raw, *, what: str) -> dict[str, msgspec.Raw]:
        """The encoded values of a mapping. Raises SerializationError if it is not a mapping."""
        try:
            return _unpack(raw)
        except Exception as exc:
            raise SerializationError(f"{what}: cannot be decoded as a mapping: {_reason(exc)}") from exc

    def decode(self, raw: msgspec.Raw | bytes, type_: Any, *, what: str) -> Any:
        """Decodes to the annotated type. Raises SerializationError if the value is not of that type."""
        try:
            return self._decoder(type_).decode(raw)
        except Exception as exc:
            raise SerializationError(f"{what}: cannot be decoded as {type_name(type_)}: {_reason(exc)}") from exc

    def to_builtins(self, value: Any, *, what: str) -> Any:
        """The value as a reader without annotations decodes it: msgpack builtins and aware datetimes.

        Raises SerializationError.
        """
        return self.decode(self.encode(value, what=what), Any, what=what)

    def unsupported(self, type_: Any) -> str | None:
        """Why no value can be decoded as this annotation; None if some can."""
        try:
            self._decoder(type_)
        except Exception as exc:
            return str(exc)
        return None

    def _encode_canonical(self, value: Any) -> bytes:
        try:
            return self._encode_sorted(value)
        except TypeError:
            return self._encode(value)  # keys that are not strings cannot be sorted

    def _decoder(self, type_: Any) -> msgspec.msgpack.Decoder[Any]:
        try:
            found = self._decoders.get(type_)
        except TypeError:
            return msgspec.msgpack.Decoder(type_, dec_hook=self._from_encoded)
        if found is None:
            found = self._decoders[type_] = msgspec.msgpack.Decoder(type_, dec_hook=self._from_encoded)
        return found

    def _to_encodable(self, value: Any) -> Any:
        kind = type(value)
        if _is_model(kind):
            return value.model_dump(mode="python", round_trip=True, by_alias=False)
        if self._enc_hook is not None:
            try:
                return self._enc_hook(value)
            except NotImplementedError:
                pass
        exact = _exact(value)
        if exact is None:
            raise TypeError(f"values of type {type_name(kind)} are not supported; {_WHAT_TO_PASS}")
        return exact

    def _from_encoded(self, kind: Any, encoded: Any) -> Any:
        if _is_model(kind):
            return _validated(kind, encoded)
        if self._dec_hook is not None:
            try:
                return self._dec_hook(kind, encoded)
            except NotImplementedError:
                pass
        plain_kind = typing.get_origin(kind) or kind
        if isinstance(plain_kind, type):
            if isinstance(encoded, plain_kind):
                return encoded
            if issubclass(plain_kind, (str, int, float, bytes)) and isinstance(encoded, (str, int, float, bytes)):
                return plain_kind(encoded)  # type: ignore[arg-type]
        raise TypeError(f"there is no conversion to {type_name(kind)}; give TriggerEngine a dec_hook")


def encode_payload(payload: Mapping[str, Any] | None, *, event_code: str, max_bytes: int | None = None) -> msgspec.Raw:
    """Encodes an event payload: a mapping of msgpack builtins and aware datetimes, or None for an empty one.

    Raises SerializationError, naming the place of an invalid value, and PayloadTooLarge above `max_bytes`.
    """
    try:
        plain = _plain_payload(payload)
        encoded = _encode_payload(plain)
        _check_depth(encoded)
    except _NotPlain as refused:
        place = "".join(f"[{key!r}]" for key in reversed(refused.path))
        raise SerializationError(f"{_payload_of(event_code)}{', at ' + place if place else ''}: {refused}") from None
    except Exception as exc:
        raise SerializationError(f"{_payload_of(event_code)}: cannot be encoded: {_reason(exc)}") from exc
    if max_bytes is not None and len(encoded) > max_bytes:
        raise PayloadTooLarge(
            f"{_payload_of(event_code)}: takes {len(encoded):,} bytes encoded, the limit is {max_bytes:,} "
            "(max_payload_bytes): store the data elsewhere and pass a reference"
        )
    return msgspec.Raw(encoded)


def _payload_of(event_code: str) -> str:
    return f"payload of event {event_code!r}"


def is_text(text: str) -> bool:
    """True if the string has no lone surrogates, which no store can hold."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def type_name(type_: Any) -> str:
    """The name of a type or annotation as in source code."""
    if not isinstance(type_, type) or getattr(type_, "__args__", None):
        return repr(type_).removeprefix("typing.")
    return type_.__qualname__ if type_.__module__ == "builtins" else f"{type_.__module__}.{type_.__qualname__}"


class _NotPlain(Exception):
    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.path: list[Any] = []


def _plain_payload(payload: Any) -> dict[str, Any]:
    if payload is None:
        return {}
    if type(payload) is not dict and not isinstance(payload, Mapping):
        raise _NotPlain(f"is of type {type_name(type(payload))}: give a mapping, or None for an empty one")
    return {
        key if type(key) is str else _top_key(key): value if type(value) in _SCALARS else _plain_at(key, value)
        for key, value in payload.items()
    }


def _top_key(key: Any) -> str:
    if not isinstance(key, str):
        raise _NotPlain(f"key {key!r} is of type {type_name(type(key))}: give string keys")
    return str.__str__(key)


def _nested_key(key: Any) -> str | int:
    if isinstance(key, str):
        return str.__str__(key)
    if isinstance(key, int) and not isinstance(key, bool):
        return int.__int__(key)
    raise _NotPlain(f"key {key!r} is of type {type_name(type(key))}: give keys that are strings or integers")


def _plain_at(key: Any, value: Any) -> Any:
    try:
        return _plain(value)
    except _NotPlain as refused:
        refused.path.append(key)
        raise


def _plain(value: Any) -> Any:
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, datetime) and value.utcoffset() is None:
        raise _NotPlain(f"{value.isoformat()} is a naive datetime: give it a timezone, such as datetime.now(UTC)")
    exact = _exact(value)
    if exact is not None:
        return exact
    if isinstance(value, (bytearray, memoryview)):
        return bytes(value)
    if isinstance(value, (list, tuple)):
        return [item if type(item) in _SCALARS else _plain_at(index, item) for index, item in enumerate(value)]
    if isinstance(value, Mapping):
        return {
            key if type(key) is str else _nested_key(key): item if type(item) in _SCALARS else _plain_at(key, item)
            for key, item in value.items()
        }
    raise _NotPlain(
        f"a payload cannot hold values of type {type_name(type(value))}: give None, bool, int, float, str, bytes, "
        "aware datetimes, or lists and mappings of them"
    )


def _exact(value: Any) -> Any:
    """Converts an instance of a subclass of a scalar type to that type; None for other values."""
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, int):
        return int.__int__(value)
    if isinstance(value, float):
        return float.__float__(value)
    if isinstance(value, bytes):
        return bytes.__getitem__(value, slice(None))
    if isinstance(value, datetime):
        clock = (value.hour, value.minute, value.second, value.microsecond)
        return datetime(value.year, value.month, value.day, *clock, tzinfo=value.tzinfo, fold=value.fold)
    return None


def _is_model(kind: Any) -> bool:
    return isinstance(kind, type) and hasattr(kind, "model_dump") and hasattr(kind, "model_validate")


def _validated(model: Any, data: Any) -> Any:
    try:
        # A dumped model has msgpack types and the field names, not their aliases.
        return model.model_validate(data, strict=False, by_alias=True, by_name=True)
    except TypeError:
        return model.model_validate(data)


def _check_depth(encoded: bytes) -> None:
    """Raises RecursionError if the value is nested so deeply that a reader with less free stack could not decode it."""
    if len(encoded) > _ALWAYS_SHALLOW:
        _skip(_SPARE_LEVELS + encoded)


def _check_readable(encoded: bytes) -> None:
    """Raises the error that a reader without annotations would get, also one with less free stack."""
    _check_depth(encoded)
    _read(encoded)


def _reason(exc: Exception) -> str:
    if isinstance(exc, RecursionError):
        return _TOO_DEEP
    if isinstance(exc, UnicodeEncodeError):
        return "a str in it holds a lone surrogate, which is not text: pass bytes, or replace it"
    if isinstance(exc, msgspec.DecodeError) and "hashable" in str(exc):
        return "a key in it would be decoded as a mapping, which cannot be a key: give keys that are strings or numbers"
    if isinstance(exc, OverflowError) and "serialize ints" in str(exc):
        return "an int in it is beyond 64 bits: pass it as str"
    return str(exc) or type(exc).__name__
