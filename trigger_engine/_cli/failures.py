"""Reports failures as one message, without the engine's own traceback."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import typer

from trigger_engine.errors import TriggerEngineError

_OWN_FOLDER = str(Path(__file__).resolve().parents[1]) + os.sep
_IMPORTING = ("<frozen importlib", f"{os.sep}importlib{os.sep}__init__.py")


class CommandFailed(Exception):
    """A command failed. The message says why and what to do. Exits with 1."""


class UserCodeFailed(Exception):
    """The user's code raised `error` during import."""

    def __init__(self, module: str, error: BaseException) -> None:
        super().__init__(f"importing {module} raised {type(error).__name__}: fix the error and try again")
        self.error = error


@contextmanager
def reported() -> Iterator[None]:
    """Turns failures into a message on standard error and exit code 1. A closed pipe exits quietly with 0."""
    try:
        yield
        sys.stdout.flush()
    except BrokenPipeError:
        _close_output()
        raise typer.Exit(0) from None
    except UserCodeFailed as failed:
        sys.stderr.write(user_traceback(failed.error))
        print_error(str(failed))
        raise typer.Exit(1) from None
    except (CommandFailed, TriggerEngineError) as failed:
        print_error(*message_lines(failed))
        raise typer.Exit(1) from None


def print_error(message: str, *notes: str) -> None:
    """Writes an error to standard error."""
    typer.echo("\n  ".join([f"{typer.style('Error:', fg='red', bold=True)} {message}", *notes]), err=True)


def message_lines(error: BaseException) -> list[str]:
    """Returns an error's message and notes."""
    return [str(error), *getattr(error, "__notes__", [])]


def user_traceback(error: BaseException) -> str:
    """Returns the traceback of an error without the frames of this package and the import machinery."""
    shown = traceback.TracebackException.from_exception(error)
    pending = [shown]
    while pending:
        one = pending.pop()
        one.stack = traceback.StackSummary.from_list([frame for frame in one.stack if _is_users(frame.filename)])
        pending += [linked for linked in (one.__cause__, one.__context__) if linked is not None]
        pending += one.exceptions or []
    return "".join(shown.format())


def user_place(error: BaseException) -> str | None:
    """Returns the line of user code that led to an error, or None."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if _is_users(frame.filename)]
    return f"{_short(frames[-1].filename)}:{frames[-1].lineno}: {frames[-1].line}" if frames else None


def _is_users(file: str) -> bool:
    if file.startswith("<") or any(part in file for part in _IMPORTING):
        return file.startswith("<stdin") or file == "<string>"
    return not os.path.realpath(file).startswith(_OWN_FOLDER) and f"{os.sep}typer{os.sep}" not in file


def _short(file: str) -> str:
    try:
        relative = os.path.relpath(file)
    except ValueError:
        return file
    return file if relative.startswith("..") else relative


def _close_output() -> None:
    """Discards buffered output, so that the interpreter's flush at exit stays quiet."""
    try:
        descriptor = sys.stdout.fileno()
    except (OSError, ValueError, AttributeError):
        return
    with open(os.devnull, "w", encoding="utf-8") as nowhere:
        os.dup2(nowhere.fileno(), descriptor)
