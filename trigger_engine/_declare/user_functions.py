"""User functions in triggers (filters and providers): which functions are accepted, and their names in the log."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator
from hashlib import blake2b
from types import BuiltinFunctionType, CodeType, FunctionType, MethodType
from typing import Any

from trigger_engine._declare.annotations import read_signature
from trigger_engine._declare.modules import module_name_of
from trigger_engine.errors import DeclarationError

Function = Callable[..., Any]


def check_function(function: Any, *, where: str, gets: str) -> Function:
    """Checks that every process can find the function by name, and that it takes one argument. Returns the function.

    `where`: the declaration, for error messages. `gets`: the name of the argument. Raises DeclarationError.
    """
    problem = _problem(function)
    if problem is not None:
        raise DeclarationError(f"{where}: {problem}; write a named function at module level, def name({gets}): ...")
    try:
        read_signature(function).bind(None)
    except TypeError as exc:
        raise DeclarationError(
            f"{where}: {function_name(function)} cannot be called with one argument, the {gets} ({exc}): "
            f"declare it as def {function.__name__}({gets}): ..."
        ) from None
    return function  # type: ignore[no-any-return]


def function_name(function: Function) -> str:
    """`module.qualname`, the same in every process."""
    return f"{module_name_of(function)}.{function.__qualname__}"


def code_hash(function: Function) -> str:
    """A hash of the bytecode, constants and names of a function, in 16 hex digits. Depends on the Python version."""
    digest = blake2b(digest_size=8)
    for piece in _pieces(inspect.unwrap(function).__code__):
        digest.update(len(piece).to_bytes(8, "big") + piece)
    return digest.hexdigest()


def _problem(function: Any) -> str | None:
    kind = type(function).__name__
    if isinstance(function, functools.partial):
        return f"a partial of {getattr(function.func, '__qualname__', function.func)!s} has no name in its module"
    if isinstance(function, MethodType):
        return f"{function.__qualname__} is a method: it depends on the object it is bound to"
    if isinstance(function, BuiltinFunctionType):
        return f"{function.__qualname__} is not written in Python, so changes of its code cannot be detected"
    if isinstance(function, type):
        return f"{function.__qualname__} is a class"
    if not isinstance(function, FunctionType):
        return f"an object of type {kind} is not a function"
    if function.__name__ == "<lambda>":
        return "a lambda has no name in its module"
    if "<locals>" in function.__qualname__:
        return f"{function.__qualname__} is nested in another function"
    if "." in function.__qualname__:
        return f"{function.__qualname__} is a method"
    return _not_sync(function) or _not_sync(inspect.unwrap(function))


def _not_sync(function: Function) -> str | None:
    if inspect.iscoroutinefunction(function):
        return f"{function.__qualname__} is a coroutine function, but it must be synchronous (def) and pure"
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        return f"{function.__qualname__} is a generator"
    return None


def _pieces(code: CodeType) -> Iterator[bytes]:
    yield code.co_code
    yield repr((code.co_argcount, code.co_kwonlyargcount, code.co_names, code.co_freevars)).encode()
    for constant in code.co_consts:
        yield from _constant_pieces(constant)


def _constant_pieces(constant: object) -> Iterator[bytes]:
    if isinstance(constant, CodeType):
        yield from _pieces(constant)
    elif isinstance(constant, frozenset):
        yield repr(sorted(map(repr, constant))).encode("utf-8", "backslashreplace")
    elif isinstance(constant, tuple):
        yield f"tuple of {len(constant)}".encode()
        for item in constant:
            yield from _constant_pieces(item)
    else:
        yield repr(constant).encode("utf-8", "backslashreplace")
