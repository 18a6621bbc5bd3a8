"""Annotated types: how the value of a parameter comes back as what was passed.

An annotation says which type to make of the encoded form; like Python itself, it does not forbid other values. A value
that is not of its annotated type comes through as it is where nothing is lost by that, else it is refused before it is
stored.
"""

from __future__ import annotations

import inspect
import sys
import types
import typing
from collections.abc import Callable, Collection, Iterator, Mapping, MutableMapping, MutableSequence, Sequence
from typing import Any, Final

import msgspec

from trigger_engine.errors import SerializationError
from trigger_engine.values import Codec, type_name

RETURN: Final = "return"
_SCALARS = frozenset({type(None), bool, int, float, str, bytes})
_CONTAINERS = frozenset(
    {list, tuple, set, frozenset, dict, Collection, Mapping, MutableMapping, MutableSequence, Sequence}
)
_UNKNOWN = frozenset({Any, object, inspect.Parameter.empty})
_UNIONS = frozenset({typing.Union, types.UnionType})
_NIL = b"\xc0"


class ValueType:
    """One annotation. `problem`: why it cannot say what to make of a value; then only plain values can be passed."""

    def __init__(self, annotation: Any, codec: Codec, *, problem: str | None = None) -> None:
        self.annotation = Any if problem or _is_in(annotation, _UNKNOWN) else annotation
        self.problem = problem or self._unsupported(codec)
        self._codec = codec
        self._is_unknown = self.annotation is Any
        self._is_plain = _only_builtins(self.annotation)
        self._has_sets = not self.problem and _has_sets(self.annotation)

    def encode(self, value: Any, *, what: str) -> msgspec.Raw:
        """The encoded form, from which `decode` makes the value again.

        Raises SerializationError for what cannot be encoded, or would come back as something else.
        """
        if isinstance(value, msgspec.Raw):
            return self._codec.encode(value, what=what)
        sort = self._has_sets or isinstance(value, (set, frozenset))
        raw = self._codec.encode(value, what=what, canonical=sort)
        if self.problem is not None and not is_plain(value):
            raise SerializationError(f"{what}: is a {type_name(type(value))}, but {self.problem}")
        if type(value) not in _SCALARS or not self._is_plain:
            self._check(value, raw, what)
        return raw

    def decode(self, raw: msgspec.Raw, *, what: str) -> Any:
        """The value of the annotated type, or the plain value that was passed instead. Raises SerializationError."""
        if self.problem is not None:
            return self._codec.decode(raw, Any, what=what)
        try:
            return self._codec.decode(raw, self.annotation, what=what)
        except SerializationError:
            if self._is_plain or bytes(raw) == _NIL:
                return self._codec.decode(raw, Any, what=what)
            raise

    def decode_anyhow(self, raw: msgspec.Raw, *, what: str) -> Any:
        """The value of the annotated type where it is of that type, else in msgpack builtins."""
        try:
            return self.decode(raw, what=what)
        except SerializationError:
            return self._codec.decode(raw, Any, what=what)

    def misfit(self, value: Any, *, what: str) -> str | None:
        """Why a value is not of the annotated type, None where it is, or where the annotation cannot tell."""
        try:
            raw = self._codec.encode(value, what=what)
            if self.problem is None:
                self._codec.decode(raw, self.annotation, what=what)
        except SerializationError as exc:
            return str(exc)
        return None

    def brings_back(self, value: Any) -> bool:
        """True when a value comes back equal and of its own type."""
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
                    f"{what}: a {type_name(type(value))} would not come back as {type_name(self.annotation)}, "
                    f"its annotation: {exc.__cause__}; pass what is annotated, or correct the annotation"
                ) from exc.__cause__

    def _unsupported(self, codec: Codec) -> str | None:
        reason = codec.unsupported(self.annotation)
        told = "its annotation cannot say what to make of that"
        return reason and f"{told} ({reason}); pass builtins, or annotate one type"


def value_types(function: Callable[..., Any], codec: Codec) -> dict[str, ValueType]:
    """The annotated type of each parameter, and of what is returned under RETURN; unresolvable ones have a problem."""
    signature = read_signature(function)
    annotations = {name: (p.annotation, p.default) for name, p in signature.parameters.items()}
    annotations[RETURN] = (signature.return_annotation, inspect.Parameter.empty)
    return {name: _value_type(function, codec, *found) for name, found in annotations.items()}


def read_signature(function: Callable[..., Any]) -> inspect.Signature:
    """The signature with its annotations as written. Raises ValueError, TypeError where a function has none."""
    if sys.version_info >= (3, 14):
        from annotationlib import Format

        return inspect.signature(function, annotation_format=Format.FORWARDREF)
    return inspect.signature(function)


def is_plain(value: Any) -> bool:
    """True for builtins that msgpack brings back as they are."""
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
            f"its annotation {annotation!r} cannot be resolved when the program runs ({exc}); "
            "import that type outside TYPE_CHECKING and at module level, or pass builtins"
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
        return False  # an annotation may hold what cannot be hashed


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
