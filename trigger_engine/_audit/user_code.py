"""Calls filter functions again if their code is the same as when the leader called them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import Enum
from typing import TYPE_CHECKING, Any

import msgspec

from trigger_engine._declare.user_functions import code_hash
from trigger_engine._model.definitions import CallableFilter
from trigger_engine._model.entries import EventEmitted, InvocationEntry, Succeeded

if TYPE_CHECKING:
    from trigger_engine._app.app import TriggerEngine

Decode = Callable[[str, msgspec.Raw], Any]
"""Decodes arguments or a result of the task with this id."""


class FilterOutcome(Enum):
    """The outcome of a filter. UNKNOWN: its function is missing or its code has changed. FAILED: it raised."""

    YES = "yes"
    NO = "no"
    UNKNOWN = "unknown"
    FAILED = "failed"


def _plain(_: str, raw: msgspec.Raw) -> Any:
    return msgspec.msgpack.decode(raw)


class UserCode:
    """The functions that may be called again, by their names in the log."""

    def __init__(
        self,
        callables: Mapping[str, Callable[..., Any]],
        *,
        decode_arguments: Decode = _plain,
        decode_result: Decode = _plain,
    ) -> None:
        self._callables = callables
        self._hashes = {name: code_hash(function) for name, function in callables.items()}
        self._decode_arguments = decode_arguments
        self._decode_result = decode_result

    @classmethod
    def of_app(cls, app: TriggerEngine) -> UserCode:
        """Returns the functions that the app's triggers use."""
        tasks = app._internals.registry.tasks

        def decode_arguments(task_id: str, raw: msgspec.Raw) -> Any:
            task = tasks.get(task_id)
            return _plain(task_id, raw) if task is None else task.signature.decode_arguments(raw)

        return cls(
            app._internals.registry.callables,
            decode_arguments=decode_arguments,
            decode_result=app._internals.decode_result,
        )

    def call(self, filter_: CallableFilter, field: str, entry: object) -> FilterOutcome:
        """Returns the function's outcome for one field of an entry."""
        if self._hashes.get(filter_.name) != filter_.code:
            return FilterOutcome.UNKNOWN
        try:
            passed = self._callables[filter_.name](self._value(field, entry))
            return FilterOutcome.YES if passed else FilterOutcome.NO
        except Exception:
            return FilterOutcome.FAILED

    def _value(self, field: str, entry: object) -> Any:
        if isinstance(entry, EventEmitted):
            return msgspec.msgpack.decode(entry.payload)
        if field == "result":
            assert isinstance(entry, Succeeded)
            return self._decode_result(entry.task_id, entry.result)
        assert isinstance(entry, InvocationEntry)
        return self._decode_arguments(entry.task_id, entry.arguments)
