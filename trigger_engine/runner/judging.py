"""Answering what the matcher asks: filters and argument providers, called on decoded values."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from trigger_engine.app import TriggerEngine
from trigger_engine.core.contexts import Context, TriggerContext, context_of
from trigger_engine.core.judgement import FilterError, Firing, Question, Verdict
from trigger_engine.core.lifecycle import InvocationStatus
from trigger_engine.entries.definitions import (
    CallableFilter,
    Condition,
    ProvidedArguments,
    Provider,
    StaticArguments,
    StatusCondition,
)
from trigger_engine.entries.facts import AnyEntry, EventEmitted, InvocationEntry, Position, Started, Succeeded
from trigger_engine.errors import SerializationError
from trigger_engine.runner.callables import Call, CallFailed, FunctionFailed, UserCalls, describe
from trigger_engine.runner.timings import Timings


class Judging:
    """Calls the app's filters and providers."""

    def __init__(self, app: TriggerEngine) -> None:
        self._app = app
        self.timings = Timings()
        self._calls = UserCalls(app.settings.callable_timeout)

    def close(self) -> None:
        """Lets the threads end."""
        self._calls.close()

    async def answer(self, questions: Sequence[Question]) -> dict[tuple[Position, str], Verdict]:
        """The verdict on each question, by position and condition id."""
        calls = [Call(frozenset(f.name for f, _ in question.filters), self._asking(question)) for question in questions]
        answers = await self._calls.compute(calls)
        return {
            (question.position, question.condition_id): _verdict(answer)
            for question, answer in zip(questions, answers, strict=True)
        }

    async def provide(self, firings: Sequence[Firing]) -> dict[str, msgspec.Raw | str]:
        """The encoded arguments of each firing by run id, or the error that rejects it."""
        needing = [firing for firing in firings if _provided(firing)]
        calls = [Call(frozenset(p.name for p in _provided(firing)), self._providing(firing)) for firing in needing]
        made = dict(zip((f.run_id for f in needing), await self._calls.compute(calls), strict=True))
        return {f.run_id: self._fit(f, made[f.run_id] if f.run_id in made else self._static(f)) for f in firings}

    def _asking(self, question: Question) -> Any:
        def ask() -> bool:
            return all(self._passes(question, wanted, subject) for wanted, subject in question.filters)

        return ask

    def _passes(self, question: Question, wanted: CallableFilter, subject: str) -> bool:
        try:
            function, value = self._function(wanted.name), self._subject(question, subject)
            return bool(self.timings.call(wanted.name, function, value))
        except BaseException as exc:
            raise FunctionFailed(wanted.name, describe(exc)) from exc

    def _subject(self, question: Question, subject: str) -> Any:
        entry = question.entry
        if isinstance(entry, EventEmitted):
            return msgspec.msgpack.decode(entry.payload)
        if subject == "result":
            assert isinstance(entry, Succeeded)
            return self._decode_result(entry.task_id, entry.result)
        assert isinstance(entry, InvocationEntry)
        return self._decode_arguments(entry.task_id, entry.arguments)

    def _providing(self, firing: Firing) -> Any:
        def provide() -> dict[str, Any]:
            merged: dict[str, Any] = {}
            for provider in firing.trigger.providers:
                merged.update(self._provided(provider, firing))
            return merged

        return provide

    def _provided(self, provider: Provider, firing: Firing) -> Mapping[str, Any]:
        if isinstance(provider, StaticArguments):
            return _decoded_mapping(provider.value)
        # Of its own: what one provider does to its context is not seen by the next one.
        context = TriggerContext(contexts=tuple(self._contexts(firing)))
        try:
            given = context if provider.context == "trigger" else getattr(context, provider.context)
            made = self.timings.call(provider.name, self._function(provider.name), given)
            if not isinstance(made, Mapping):
                raise TypeError(f"returned {type(made).__name__}: return a dict of argument names and values")
        except BaseException as exc:
            raise FunctionFailed(provider.name, describe(exc)) from exc
        return made

    def _static(self, firing: Firing) -> dict[str, Any]:
        merged: dict[str, Any] = {}
        for provider in firing.trigger.providers:
            assert isinstance(provider, StaticArguments)
            merged.update(_decoded_mapping(provider.value))
        return merged

    def _fit(self, firing: Firing, made: Any) -> msgspec.Raw | str:
        """Arguments as the target takes them, or why it does not."""
        if isinstance(made, CallFailed):
            return f"{made.name}: {made.error}"
        try:
            raw = self._encoded(firing.trigger.task_id, made)
        except (TypeError, SerializationError) as exc:
            return describe(exc)
        size, limit = len(bytes(raw)), self._app.settings.max_payload_bytes
        return raw if size <= limit else f"PayloadTooLarge: arguments of {size:,} bytes, the limit is {limit:,}"

    def _encoded(self, task_id: str, made: Mapping[str, Any]) -> msgspec.Raw:
        """Arguments of a task. One that only other live runners have is called with what its trigger says, as it is."""
        task = self._app.registry.tasks.get(task_id)
        if task is None:
            return self._app.codec.encode(made, what=f"task {task_id}, arguments")
        raw = task.signature.encode_arguments(task.signature.bind(**made))
        task.signature.decode_arguments(raw)
        return raw

    def _function(self, name: str) -> Callable[..., Any]:
        """A function that a trigger names. Raises LookupError for one of other code, whose runners are gone."""
        function = self._app.registry.callables.get(name)
        if function is None:
            raise LookupError(f"the code of the leader has no function {name}, and no runner that has it led in time")
        return function

    def _contexts(self, firing: Firing) -> list[Context]:
        return [
            context_of(
                condition,
                entry,
                decode_arguments=self._decode_arguments,
                decode_result=self._decode_result,
                status=_status_met(condition, entry),
            )
            for condition, _, entry in firing.contributions
        ]

    def _decode_arguments(self, task_id: str, raw: msgspec.Raw) -> Any:
        task = self._app.registry.tasks.get(task_id)
        return msgspec.msgpack.decode(raw) if task is None else task.signature.decode_arguments(raw)

    def _decode_result(self, task_id: str, raw: msgspec.Raw) -> Any:
        return self._app._decode_result(task_id, raw)


def _provided(firing: Firing) -> list[ProvidedArguments]:
    return [provider for provider in firing.trigger.providers if isinstance(provider, ProvidedArguments)]


def _status_met(condition: Condition, entry: AnyEntry) -> InvocationStatus | None:
    """A start right from the queue stands for PENDING too."""
    pending = InvocationStatus.PENDING
    only_pending = (
        isinstance(condition, StatusCondition)
        and isinstance(entry, Started)
        and pending in condition.statuses
        and InvocationStatus.RUNNING not in condition.statuses
    )
    return pending if only_pending else None


def _decoded_mapping(raw: msgspec.Raw) -> dict[str, Any]:
    return msgspec.msgpack.decode(raw, type=dict[str, Any])


def _verdict(answer: Any) -> Verdict:
    return FilterError(answer.name, answer.error) if isinstance(answer, CallFailed) else bool(answer)
