"""The signature of a task: binds calls, and encodes and decodes arguments and results."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import cached_property
from typing import Any, Self

import msgspec

from trigger_engine._declare.annotations import RETURN, ValueType, read_signature, value_types
from trigger_engine._declare.values import Codec
from trigger_engine._suggestions import did_you_mean
from trigger_engine.errors import DeclarationError, SerializationError

_Kind = inspect._ParameterKind
_REFUSED_KINDS = {
    _Kind.POSITIONAL_ONLY: "is positional-only, but arguments are passed by name: remove the / after it",
    _Kind.VAR_POSITIONAL: "takes any number of positional arguments: declare one list parameter instead",
    _Kind.VAR_KEYWORD: "takes any keyword arguments: declare each of them, or one dict parameter instead",
}
_STARS = {_Kind.VAR_POSITIONAL: "*", _Kind.VAR_KEYWORD: "**"}


class TaskSignature:
    """The parameters of a task and the types of their values.

    Annotations are resolved on first use, so they may refer to names that the module defines later.
    A default that cannot be stored and restored exactly, such as a sentinel object, is left to the function itself.
    """

    def __init__(
        self, function: Callable[..., Any], parameters: Sequence[inspect.Parameter], *, task_id: str, codec: Codec
    ) -> None:
        self.task_id = task_id
        self.names: tuple[str, ...] = tuple(p.name for p in parameters)
        self.required: tuple[str, ...] = tuple(p.name for p in parameters if p.default is inspect.Parameter.empty)
        self._function = function
        self._codec = codec
        self._known = frozenset(self.names)
        self._positional = tuple(p.name for p in parameters if p.kind is _Kind.POSITIONAL_OR_KEYWORD)
        self._written_defaults = {p.name: p.default for p in parameters if p.default is not inspect.Parameter.empty}
        self._unannotated = ValueType(Any, codec)
        self._whats = {name: f"task {task_id}, argument {name}" for name in self.names}

    @classmethod
    def from_function(cls, function: Callable[..., Any], *, task_id: str, codec: Codec) -> Self:
        """The signature of a task's function.

        Raises DeclarationError for generators, and for parameters that cannot be passed by name.
        """
        if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
            raise DeclarationError(
                f"task {task_id}: the function is a generator: return a list, or emit an event for each item"
            )
        parameters = list(read_signature(function).parameters.values())
        for parameter in parameters:
            if parameter.kind in _REFUSED_KINDS:
                name = f"{_STARS.get(parameter.kind, '')}{parameter.name}"
                raise DeclarationError(f"task {task_id}: parameter {name} {_REFUSED_KINDS[parameter.kind]}")
        return cls(function, parameters, task_id=task_id, codec=codec)

    def bind(self, /, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """All arguments by name, in the order of the signature, with defaults applied.

        Raises the TypeError that a call of the function would raise, with the task id as the name.
        """
        if len(args) > len(self._positional):
            raise TypeError(self._too_many(len(args)))
        given = dict(zip(self._positional, args, strict=False))
        for name, value in kwargs.items():
            if name in given:
                raise TypeError(f"{self.task_id}() got multiple values for argument {name!r}")
            if name not in self._known:
                hint = did_you_mean(name, self.names)
                raise TypeError(f"{self.task_id}() got an unexpected keyword argument {name!r}{hint}")
            given[name] = value
        missing = [name for name in self.required if name not in given]
        if missing:
            raise TypeError(self._missing(missing))
        bound = {**self._defaults, **given}
        return {name: bound[name] for name in self.names if name in bound}

    def missing_and_unknown(self, names: Collection[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """The required parameters that `names` lacks, and the names that are not parameters."""
        missing = tuple(name for name in self.required if name not in names)
        return missing, tuple(name for name in names if name not in self._known)

    def misfit(self, name: str, value: Any) -> str | None:
        """Why a value does not fit the annotation of a parameter; None if it fits or the annotation has a problem.

        May be called while the module of the function is still being imported.
        """
        types = value_types(self._function, self._codec)
        return types[name].misfit(value, what=f"argument {name}")

    def encode_arguments(self, arguments: Mapping[str, Any]) -> msgspec.Raw:
        """Encodes a mapping of bound arguments as msgpack.

        Raises SerializationError, naming task, argument and type, for a value that could not be restored.
        """
        types, whats = self._types, self._whats
        parts = {name: types[name].encode(value, what=whats[name]) for name, value in arguments.items()}
        return self._codec.pack(parts)

    def decode_arguments(self, raw: msgspec.Raw) -> dict[str, Any]:
        """Decodes arguments to the annotated types. Names that the signature no longer has become msgpack builtins.

        Raises SerializationError for arguments of an older signature that do not fit this one.
        """
        types, whats = self._types, self._whats
        return {
            name: types[name].decode(part, what=whats[name]) if name in whats else self._decode_unknown(name, part)
            for name, part in self._codec.unpack(raw, what=f"task {self.task_id}, arguments").items()
        }

    def encode_result(self, value: Any) -> msgspec.Raw:
        """Encodes what the function returned as msgpack. Raises SerializationError naming task and type."""
        what = f"task {self.task_id}, result"
        try:
            return self._types[RETURN].encode(value, what=what)
        except SerializationError:
            # The task has run, so keep the result even if it does not fit its annotation.
            return self._codec.encode(value, what=what)

    def decode_result(self, raw: msgspec.Raw) -> Any:
        """Decodes a result to the annotated type, or to msgpack builtins if it is not of that type."""
        return self._types[RETURN].decode_or_builtins(raw, what=f"task {self.task_id}, result")

    @cached_property
    def _types(self) -> dict[str, ValueType]:
        return value_types(self._function, self._codec)

    @cached_property
    def _defaults(self) -> dict[str, Any]:
        return {name: value for name, value in self._written_defaults.items() if self._types[name].round_trips(value)}

    def _decode_unknown(self, name: str, raw: msgspec.Raw) -> Any:
        return self._unannotated.decode(raw, what=f"task {self.task_id}, argument {name}")

    def _too_many(self, count: int) -> str:
        most = len(self._positional)
        fewest = sum(name in self.required for name in self._positional)
        takes = f"{most}" if fewest == most else f"from {fewest} to {most}"
        plural = "" if fewest == most == 1 else "s"
        were = "was" if count == 1 else "were"
        return f"{self.task_id}() takes {takes} positional argument{plural} but {count} {were} given"

    def _missing(self, names: Sequence[str]) -> str:
        positional = [name for name in names if name in self._positional]
        kind = "positional" if positional else "keyword-only"
        listed = positional or names
        plural = "" if len(listed) == 1 else "s"
        return f"{self.task_id}() missing {len(listed)} required {kind} argument{plural}: {_enumerated(listed)}"


def _enumerated(names: Iterable[str]) -> str:
    *first, last = map(repr, names)
    if not first:
        return last
    comma = "," if len(first) > 1 else ""
    return f"{', '.join(first)}{comma} and {last}"
