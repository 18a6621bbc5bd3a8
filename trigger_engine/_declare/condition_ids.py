"""Ids of conditions and triggers: derived from the content, equal in every process, and readable."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import timedelta
from hashlib import blake2b

import msgspec

from trigger_engine._model.definitions import (
    CallableFilter,
    EqualsFilter,
    Filter,
    MappingFilter,
)
from trigger_engine._model.ids import derive

MAX_LENGTH = 120
_KEPT = 107
_WORD = re.compile(r"[\w.:/+@*<>-]+")
_json = msgspec.json.Encoder()
_sorted_json = msgspec.json.Encoder(order="deterministic")
_sorted_msgpack = msgspec.msgpack.Encoder(order="deterministic")

DEFAULT_CATCH_UP = "latest"
DEFAULT_CATCH_UP_WINDOW = timedelta(days=1)


def cron_id(expression: str, timezone: str, *, catch_up: str, window: float) -> str:
    """Such as `cron:*/5 * * * *@Europe/Berlin`, followed by the catch-up unless it is the default."""
    is_default = catch_up == DEFAULT_CATCH_UP and window == DEFAULT_CATCH_UP_WINDOW.total_seconds()
    return _shortened(f"cron:{expression}@{timezone}" + ("" if is_default else f"[{catch_up} {window:g}s]"))


def event_id(event_code: str, payload_filter: Filter | None) -> str:
    """Such as `event:user.login{"role":"admin"}`."""
    return _shortened(f"event:{_word(event_code)}{_filter(payload_filter)}")


def status_id(task_id: str, statuses: Sequence[str], call_arguments: Filter | None) -> str:
    """Such as `status:tasks.source[success]{"priority":"high"}`."""
    return _shortened(f"status:{_word(task_id)}[{','.join(statuses)}]{_filter(call_arguments)}")


def result_id(task_id: str, result_filter: Filter, call_arguments: Filter | None) -> str:
    """Such as `result:tasks.div==2.5`, `result:tasks.f?tasks.needs_approval`, `result:tasks.f({"x":1})==2.5`."""
    arguments = f"({_filter(call_arguments)})" if call_arguments is not None else ""
    return _shortened(f"result:{_word(task_id)}{arguments}{_filter(result_filter)}")


def any_result_id(task_id: str, call_arguments: Filter | None) -> str:
    """Such as `any-result:tasks.div`."""
    return _shortened(f"any-result:{_word(task_id)}{_filter(call_arguments)}")


def exception_id(task_id: str, exception_types: Sequence[str], call_arguments: Filter | None) -> str:
    """Such as `exception:tasks.div[ValueError]`."""
    types = f"[{','.join(exception_types)}]" if exception_types else ""
    return _shortened(f"exception:{_word(task_id)}{types}{_filter(call_arguments)}")


def trigger_id(
    task_id: str, logic: str, condition_ids: Sequence[str], providers: Sequence[tuple[str | bytes, ...]]
) -> str:
    """`<task id>:<12 hex digits>`, a hash of logic, conditions and providers. The order of conditions has no effect."""
    return f"{task_id}:{derive('trigger', logic, sorted(condition_ids), providers)[:12]}"


def _filter(filter_: Filter | None) -> str:
    match filter_:
        case None:
            return ""
        case MappingFilter():
            return _value(filter_.value)
        case EqualsFilter():
            return f"=={_value(filter_.value)}"
        case CallableFilter():
            return f"?{_word(filter_.name)}"


def _value(raw: msgspec.Raw) -> str:
    """The value as JSON, plus a hash of the value if JSON cannot represent it exactly (a datetime, bytes, nan)."""
    value = msgspec.msgpack.decode(raw)
    try:
        text = _sorted_json.encode(value)
        if _sorted_msgpack.encode(msgspec.json.decode(text)) == bytes(raw):
            return _printable(text.decode())
    except (TypeError, ValueError, OverflowError):
        text = _json_or_empty(value)
    return f"{_printable(text.decode())}~{_hash(bytes(raw), 4)}"


def _json_or_empty(value: object) -> bytes:
    try:
        return _json.encode(value)
    except (TypeError, ValueError):
        return b""


def _word(text: str) -> str:
    return text if _WORD.fullmatch(text) and text.isprintable() else _printable(_json.encode(text).decode())


def _printable(text: str) -> str:
    return "".join(char if char.isprintable() else f"\\u{ord(char):04x}" for char in text)


def _shortened(text: str) -> str:
    """The text, cut if it is longer than MAX_LENGTH. Only a cut id has MAX_LENGTH + 1 characters, so no two collide."""
    return text if len(text) <= MAX_LENGTH else f"{text[:_KEPT]}~{_hash(text.encode(), 6)}~"


def _hash(data: bytes, size: int) -> str:
    return blake2b(data, digest_size=size).hexdigest()
