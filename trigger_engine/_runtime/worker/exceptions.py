"""Converting exceptions to the facts that the log stores."""

from __future__ import annotations

import traceback
from types import TracebackType

from trigger_engine._model.entries import ExceptionFacts

_MAX_MESSAGE = 16_384
_MAX_TRACEBACK = 65_536


def exception_facts(exc: BaseException, *, own_frames: int = 1) -> ExceptionFacts:
    """Type, message, bases and traceback of an exception. The first `own_frames` frames are the engine's: dropped."""
    kind = type(exc)
    tb = exc.__traceback__
    for _ in range(own_frames):
        tb = tb.tb_next if tb is not None else None
    return ExceptionFacts(
        type=kind.__name__,
        message=_cut(_message(exc), _MAX_MESSAGE),
        bases=tuple(base.__name__ for base in kind.__mro__[1:] if base is not object),
        traceback=_cut(_traceback(exc, tb), _MAX_TRACEBACK),
    )


def named_facts(kind: type[BaseException], message: str) -> ExceptionFacts:
    """The facts of an exception that the engine reports without raising it."""
    bases = tuple(base.__name__ for base in kind.__mro__[1:] if base is not object)
    return ExceptionFacts(type=kind.__name__, message=message, bases=bases)


def _message(exc: BaseException) -> str:
    try:
        return str(exc)
    except BaseException as broken:
        return f"<its str() raised {type(broken).__name__}>"


def _traceback(exc: BaseException, tb: TracebackType | None) -> str:
    try:
        return "".join(traceback.format_exception(type(exc), exc, tb))
    except BaseException as broken:
        return f"<its traceback cannot be formatted: {type(broken).__name__}>"


def _cut(text: str, limit: int) -> str:
    """Makes text encodable as UTF-8 and cuts long text in the middle, because both ends of a traceback matter."""
    safe = text.encode("utf-8", "backslashreplace").decode("utf-8")
    if len(safe) <= limit:
        return safe
    half = limit // 2
    return f"{safe[:half]}\n… {len(safe) - limit:,} characters cut …\n{safe[-half:]}"
