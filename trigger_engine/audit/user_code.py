"""Asking filter functions again, where they are the same that the leader asked."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import Enum
from typing import TYPE_CHECKING, Any

import msgspec

from trigger_engine.entries.definitions import CallableFilter
from trigger_engine.entries.facts import EventEmitted, InvocationEntry, Succeeded
from trigger_engine.user_functions import code_hash

if TYPE_CHECKING:
    from trigger_engine.app import TriggerEngine

Decode = Callable[[str, msgspec.Raw], Any]
"""Decodes arguments, or a result, of the task with this id."""


class Answer(Enum):
    """What a filter says. UNKNOWN: its function is not there, or has other code now. FAILED: it raised."""

    YES = "yes"
    NO = "no"
    UNKNOWN = "unknown"
    FAILED = "failed"


def _plain(_: str, raw: msgspec.Raw) -> Any:
    return msgspec.msgpack.decode(raw)


class UserCode:
    """The functions that may be asked again, by the names that the log has for them."""

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
        """The functions that the app's triggers name."""
        tasks = app.registry.tasks

        def decode_arguments(task_id: str, raw: msgspec.Raw) -> Any:
            task = tasks.get(task_id)
            return _plain(task_id, raw) if task is None else task.signature.decode_arguments(raw)

        return cls(app.registry.callables, decode_arguments=decode_arguments, decode_result=app._decode_result)

    def ask(self, asked: CallableFilter, subject: str, entry: object) -> Answer:
        """What the function says of one field of an entry."""
        if self._hashes.get(asked.name) != asked.code:
            return Answer.UNKNOWN
        try:
            passed = self._callables[asked.name](self._value(subject, entry))
            return Answer.YES if passed else Answer.NO
        except Exception:
            return Answer.FAILED

    def _value(self, subject: str, entry: object) -> Any:
        if isinstance(entry, EventEmitted):
            return msgspec.msgpack.decode(entry.payload)
        if subject == "result":
            assert isinstance(entry, Succeeded)
            return self._decode_result(entry.task_id, entry.result)
        assert isinstance(entry, InvocationEntry)
        return self._decode_arguments(entry.task_id, entry.arguments)
