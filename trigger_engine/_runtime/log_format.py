"""The command line's log formats, which add the current invocation's ids to each line.

The library itself configures no logging: its logger `trigger_engine` has only a NullHandler.
Log lines contain ids as tokens: `event:<id>`, `trigger-run:<id>`, `invocation:<id>`, `trigger:<id>`, `runner:<id>`.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Literal, TextIO

from trigger_engine._client.current import CurrentInvocation, running

LogFormat = Literal["text", "json"]
LogLevel = Literal["debug", "info", "warning", "error"]

_VARIABLE = "TRIGGER_ENGINE_LOG"
_ENGINE = "trigger_engine"
_VERBOSE_LIBRARIES = {"aiosqlite": logging.INFO, "asyncio": logging.INFO, "watchfiles": logging.WARNING}
"""Libraries that log every call, with the lowest level shown for each."""
_OWN_FIELDS = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
_COLORS = {logging.DEBUG: "2", logging.WARNING: "33", logging.ERROR: "31", logging.CRITICAL: "31;1"}


class InvocationFilter(logging.Filter):
    """Sets `invocation` on every log record: the CurrentInvocation that logged it, or None.

    Add it to your own handler to use the ids in your own format. It drops no records.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        if not hasattr(record, "invocation"):
            record.invocation = running.get()
        return True


class TextFormatter(logging.Formatter):
    """`time level logger: message tokens`, in local time. Tokens that the message contains are not repeated.

    All of the engine's loggers appear as `trigger_engine`.
    """

    def __init__(self, *, color: bool = False) -> None:
        super().__init__()
        self._color = color

    def format(self, record: logging.LogRecord) -> str:
        first, newline, rest = record.getMessage().partition("\n")
        tokens = [token for token in _tokens(_invocation_of(record)) if token not in first]
        time = datetime.fromtimestamp(record.created, UTC).astimezone().replace(tzinfo=None)
        level = self._colored(record, f"{record.levelname:<7}")
        name = _ENGINE if record.name.startswith(f"{_ENGINE}.") else record.name
        head = [time.isoformat(" ", "milliseconds"), level, f"{name}: {first}", *tokens]
        lines = [" ".join(head) + newline + rest]
        if record.exc_info:
            lines.append(self.formatException(record.exc_info))
        if record.stack_info:
            lines.append(self.formatStack(record.stack_info))
        return "\n".join(lines)

    def _colored(self, record: logging.LogRecord, text: str) -> str:
        code = _COLORS.get(record.levelno) if self._color else None
        return text if code is None else f"\x1b[{code}m{text}\x1b[0m"


class JsonFormatter(logging.Formatter):
    """One JSON object per line: time (UTC), level, logger, message, the fields of `extra`, exception, stack.

    Inside a task also: tokens (a list), invocation, trigger_run, task, attempt.
    """

    def format(self, record: logging.LogRecord) -> str:
        facts: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="microseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        current = _invocation_of(record)
        if current is not None:
            facts |= _facts(current)
        extra = vars(record).items()
        facts |= {key: value for key, value in extra if key not in _OWN_FIELDS and key not in (*facts, "invocation")}
        if record.exc_info:
            facts["exception"] = self.formatException(record.exc_info)
        if record.stack_info:
            facts["stack"] = self.formatStack(record.stack_info)
        return json.dumps(facts, default=str, ensure_ascii=False)


def configure_logging(log_format: LogFormat, level: LogLevel, *, stream: TextIO | None = None) -> None:
    """Configures the root logger to write to `stream` (default: standard error) in this format and from this level.

    Child processes that run tasks inherit this (`configure_from_environment`).
    """
    handler = logging.StreamHandler(stream)
    handler.addFilter(InvocationFilter())
    color = log_format == "text" and "NO_COLOR" not in os.environ and handler.stream.isatty()
    handler.setFormatter(JsonFormatter() if log_format == "json" else TextFormatter(color=color))
    number = logging.getLevelNamesMapping()[level.upper()]
    logging.basicConfig(handlers=[handler], level=number, force=True)
    for name, least in _VERBOSE_LIBRARIES.items():
        logging.getLogger(name).setLevel(max(number, least))
    os.environ[_VARIABLE] = f"{log_format}:{level}"


def configure_from_environment(environment: Mapping[str, str] = os.environ) -> None:
    """Repeats the parent's `configure_logging` in a child process; does nothing if the parent never called it."""
    log_format, _, level = environment.get(_VARIABLE, "").partition(":")
    if log_format in ("text", "json") and level in ("debug", "info", "warning", "error"):
        configure_logging(log_format, level)  # type: ignore[arg-type]


def _invocation_of(record: logging.LogRecord) -> CurrentInvocation | None:
    found = getattr(record, "invocation", None)
    return found if isinstance(found, CurrentInvocation) else None


def _tokens(current: CurrentInvocation | None) -> list[str]:
    if current is None:
        return []
    tokens = [f"invocation:{current.invocation_id}"]
    return tokens if current.trigger_run_id is None else [*tokens, f"trigger-run:{current.trigger_run_id}"]


def _facts(current: CurrentInvocation) -> dict[str, Any]:
    facts: dict[str, Any] = {"tokens": _tokens(current), "invocation": current.invocation_id}
    if current.trigger_run_id is not None:
        facts["trigger_run"] = current.trigger_run_id
    return {**facts, "task": current.task_id, "attempt": current.attempt}
