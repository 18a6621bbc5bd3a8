"""Annotated types: they decide the type to which a stored value is decoded.

As in Python itself, an annotation does not forbid other values. A value that is not of its annotated type is passed
through unchanged if nothing is lost; otherwise it is refused before it is stored.
"""

from __future__ import annotations

import inspect
import sys
import types
import typing
from collections.abc import Callable, Collection, Iterator, Mapping, MutableMapping, MutableSequence, Sequence
from typing import Any, Final

import msgspec

from trigger_engine._declare.values import Codec, type_name
from trigger_engine.errors import SerializationError

RETURN: Final = "return"
_SCALARS = frozenset({type(None), bool, int, float, str, bytes})
_CONTAINERS = frozenset(
    {list, tuple, set, frozenset, dict, Collection, Mapping, MutableMapping, MutableSequence, Sequence}
)
_UNKNOWN = frozenset({Any, object, inspect.Parameter.empty})
_UNIONS = frozenset({typing.Union, types.UnionType})
_NIL = b"\xc0"


class ValueType:
    """The type of one annotation. `problem`: why nothing can be decoded to it; then only plain values can be passed."""

    def __init__(self, annotation: Any, codec: Codec, *, problem: str | None = None) -> None:
        self.annotation = Any if problem or _is_in(annotation, _UNKNOWN) else annotation
        self.problem = problem or self._unsupported(codec)
        self._codec = codec
        self._is_unknown = self.annotation is Any
        self._is_plain = _only_builtins(self.annotation)
        self._has_sets = not self.problem and _has_sets(self.annotation)

    def encode(self, value: Any, *, what: str) -> msgspec.Raw:
        """Encodes a value such that `decode` restores it.

        Raises SerializationError if the value cannot be encoded or would be decoded to something else.
        """
        if isinstance(value, msgspec.Raw):
            return self._codec.encode(value, what=what)
        sort = self._has_sets or isinstance(value, (set, frozenset))
        raw = self._codec.encode(value, what=what, canonical=sort)
        if self.problem is not None and not is_plain(value):
            raise SerializationError(f"{what}: the value is a {type_name(type(value))}, but {self.problem}")
        if type(value) not in _SCALARS or not self._is_plain:
            self._check(value, raw, what)
        return raw

    def decode(self, raw: msgspec.Raw, *, what: str) -> Any:
        """Decodes to the annotated type, or to the plain value that was passed instead. Raises SerializationError."""
        if self.problem is not None:
            return self._codec.decode(raw, Any, what=what)
        try:
            return self._codec.decode(raw, self.annotation, what=what)
        except SerializationError:
            if self._is_plain or bytes(raw) == _NIL:
                return self._codec.decode(raw, Any, what=what)
            raise

    def decode_or_builtins(self, raw: msgspec.Raw, *, what: str) -> Any:
        """Decodes to the annotated type if the value is of that type, otherwise to msgpack builtins."""
        try:
            return self.decode(raw, what=what)
        except SerializationError:
            return self._codec.decode(raw, Any, what=what)

    def misfit(self, value: Any, *, what: str) -> str | None:
        """Why a value is not of the annotated type. None if it is, or if the annotation has a problem."""
        try:
            raw = self._codec.encode(value, what=what)
            if self.problem is None:
                self._codec.decode(raw, self.annotation, what=what)
        except SerializationError as exc:
            return str(exc)
        return None

    def round_trips(self, value: Any) -> bool:
        """True if encoding and decoding a value returns an equal value of the same type."""
        try:
            back = self.decode(self.encode(value, what=""), what="")
            return type(back) is type(value) and (isinstance(value, float) or bool(back == value))
        except Exception:
            return False

    def _check(self, value: Any, raw: msgspec.Raw, what: str) -> None:
        if self._is_unknown or value is None:
            return
        try:
            self._codec.decode(raw, self.annotation, what=what)
        except SerializationError as exc:
            if not (self._is_plain and is_plain(value)):
                raise SerializationError(
                    f"{what}: a {type_name(type(value))} cannot be decoded as {type_name(self.annotation)}, "
                    f"its annotation ({exc.__cause__}): pass a value of the annotated type, or correct the annotation"
                ) from exc.__cause__

    def _unsupported(self, codec: Codec) -> str | None:
        reason = codec.unsupported(self.annotation)
        return reason and f"its annotation cannot be used for decoding ({reason}): pass builtins, or annotate one type"


def value_types(function: Callable[..., Any], codec: Codec) -> dict[str, ValueType]:
    """The annotated type of each parameter, and of the result under RETURN. Unresolvable annotations have a problem."""
    signature = read_signature(function)
    annotations = {name: (p.annotation, p.default) for name, p in signature.parameters.items()}
    annotations[RETURN] = (signature.return_annotation, inspect.Parameter.empty)
    return {name: _value_type(function, codec, *found) for name, found in annotations.items()}


def read_signature(function: Callable[..., Any]) -> inspect.Signature:
    """The signature with the annotations as written. Raises ValueError or TypeError if the function has none."""
    if sys.version_info >= (3, 14):
        from annotationlib import Format

        return inspect.signature(function, annotation_format=Format.FORWARDREF)
    return inspect.signature(function)


def is_plain(value: Any) -> bool:
    """True for values of builtin types that msgpack restores exactly."""
    if type(value) in _SCALARS:
        return True
    if type(value) is list:
        return all(map(is_plain, value))
    return type(value) is dict and all(type(key) in (str, int) and is_plain(item) for key, item in value.items())


def _value_type(function: Callable[..., Any], codec: Codec, annotation: Any, default: Any) -> ValueType:
    if annotation is inspect.Parameter.empty:
        return ValueType(Any, codec)
    inner: Any = inspect.unwrap(function)
    holder = types.SimpleNamespace(
        __annotations__={RETURN: annotation}, __type_params__=getattr(inner, "__type_params__", ())
    )
    try:
        resolved = typing.get_type_hints(holder, globalns=inner.__globals__, include_extras=True)[RETURN]
    except Exception as exc:
        problem = (
            f"its annotation {annotation!r} cannot be resolved at run time ({exc}): "
            "import the type at module level, outside TYPE_CHECKING, or pass builtins"
        )
        return ValueType(Any, codec, problem=problem)
    return ValueType(resolved | None if default is None else resolved, codec)


def _only_builtins(annotation: Any) -> bool:
    if annotation in (None, ...) or _is_in(annotation, _UNKNOWN | _SCALARS | _CONTAINERS):
        return True
    origin = typing.get_origin(annotation)
    return _is_in(origin, _UNIONS | _CONTAINERS) and all(map(_only_builtins, typing.get_args(annotation)))


def _is_in(annotation: Any, known: frozenset[Any]) -> bool:
    try:
        return annotation in known
    except TypeError:
        return False  # some annotations are not hashable


def _has_sets(annotation: Any) -> bool:
    seen: set[int] = set()
    pending: list[Any] = [msgspec.inspect.type_info(annotation)]
    while pending:
        node = pending.pop()
        if isinstance(node, (msgspec.inspect.SetType, msgspec.inspect.FrozenSetType)):
            return True
        if id(node) not in seen:
            seen.add(id(node))
            pending.extend(_parts(node))
    return False


def _parts(node: Any) -> Iterator[Any]:
    for name in getattr(node, "__struct_fields__", ()):
        part = getattr(node, name)
        for item in part if isinstance(part, tuple) else (part,):
            if isinstance(item, (msgspec.inspect.Type, msgspec.inspect.Field)):
                yield item
