"""The user's own functions in triggers (filters and providers): which are accepted, and how the log names them."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator
from hashlib import blake2b
from types import BuiltinFunctionType, CodeType, FunctionType, MethodType
from typing import Any

from trigger_engine.annotations import read_signature
from trigger_engine.errors import DeclarationError
from trigger_engine.modules import module_name_of

Function = Callable[..., Any]


def check_function(function: Any, *, where: str, gets: str) -> Function:
    """The function, when it can be found again by its name in every process and called with one argument.

    `where` and `gets` say in an error what is declared and what the function would be given. Raises DeclarationError.
    """
    refused = _refused(function)
    if refused is not None:
        raise DeclarationError(f"{where}: {refused}; write a named function at module level, def name({gets}): ...")
    try:
        read_signature(function).bind(None)
    except TypeError as exc:
        raise DeclarationError(
            f"{where}: {function_name(function)} is called with one argument, the {gets}, and cannot be ({exc}); "
            f"declare it as def {function.__name__}({gets}): ..."
        ) from None
    return function  # type: ignore[no-any-return]


def function_name(function: Function) -> str:
    """`module.qualname`, the same in every process."""
    return f"{module_name_of(function)}.{function.__qualname__}"


def code_hash(function: Function) -> str:
    """16 hex digits of what a function does: its bytecode, constants and names, in one version of Python."""
    digest = blake2b(digest_size=8)
    for piece in _pieces(inspect.unwrap(function).__code__):
        digest.update(len(piece).to_bytes(8, "big") + piece)
    return digest.hexdigest()


def _refused(function: Any) -> str | None:
    kind = type(function).__name__
    if isinstance(function, functools.partial):
        return f"a partial of {getattr(function.func, '__qualname__', function.func)!s} has no name in its module"
    if isinstance(function, MethodType):
        return f"{function.__qualname__} is a method: it depends on the object it is bound to"
    if isinstance(function, BuiltinFunctionType):
        return f"{function.__qualname__} is not written in Python: its code cannot be told apart"
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
        return f"{function.__qualname__} is a coroutine function, it must be sync (def) and pure"
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
