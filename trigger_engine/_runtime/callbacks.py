"""The user functions that the matcher needs: filters and argument providers, called with decoded values."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from trigger_engine._client.internals import AppInternals
from trigger_engine._engine.contexts import Context, TriggerContext, context_of
from trigger_engine._engine.decision import FilterError, Firing, Question, Verdict
from trigger_engine._engine.lifecycle import InvocationStatus
from trigger_engine._model.definitions import (
    CallableFilter,
    Condition,
    ProvidedArguments,
    Provider,
    StaticArguments,
    StatusCondition,
)
from trigger_engine._model.entries import AnyEntry, EventEmitted, InvocationEntry, Position, Started, Succeeded
from trigger_engine._runtime.timings import Timings
from trigger_engine._runtime.user_calls import Call, CallFailed, FunctionFailed, UserCalls, describe
from trigger_engine.errors import SerializationError


class Callbacks:
    """Calls the app's filters and argument providers."""

    def __init__(self, internals: AppInternals) -> None:
        self._internals = internals
        self.timings = Timings()
        self._calls = UserCalls(internals.settings.callable_timeout)

    def close(self) -> None:
        """Ends the threads once they are idle."""
        self._calls.close()

    async def answer(self, questions: Sequence[Question]) -> dict[tuple[Position, str], Verdict]:
        """The verdict on each question, keyed by position and condition id."""
        calls = [
            Call(frozenset(f.name for f, _ in question.filters), self._filter_call(question)) for question in questions
        ]
        answers = await self._calls.compute(calls)
        return {
            (question.position, question.condition_id): _verdict(answer)
            for question, answer in zip(questions, answers, strict=True)
        }

    async def provide(self, firings: Sequence[Firing]) -> dict[str, msgspec.Raw | str]:
        """For each run id, the encoded arguments, or the error text that rejects the run."""
        with_providers = [firing for firing in firings if _provided(firing)]
        calls = [
            Call(frozenset(p.name for p in _provided(firing)), self._provider_call(firing)) for firing in with_providers
        ]
        arguments = dict(zip((f.run_id for f in with_providers), await self._calls.compute(calls), strict=True))
        return {
            f.run_id: self._checked_arguments(f, arguments[f.run_id] if f.run_id in arguments else self._static(f))
            for f in firings
        }

    def _filter_call(self, question: Question) -> Any:
        def ask() -> bool:
            return all(
                self._passes(question, condition_filter, subject) for condition_filter, subject in question.filters
            )

        return ask

    def _passes(self, question: Question, condition_filter: CallableFilter, subject: str) -> bool:
        try:
            function, value = self._function(condition_filter.name), self._subject(question, subject)
            return bool(self.timings.call(condition_filter.name, function, value))
        except BaseException as exc:
            raise FunctionFailed(condition_filter.name, describe(exc)) from exc

    def _subject(self, question: Question, subject: str) -> Any:
        entry = question.entry
        if isinstance(entry, EventEmitted):
            return msgspec.msgpack.decode(entry.payload)
        if subject == "result":
            assert isinstance(entry, Succeeded)
            return self._decode_result(entry.task_id, entry.result)
        assert isinstance(entry, InvocationEntry)
        return self._decode_arguments(entry.task_id, entry.arguments)

    def _provider_call(self, firing: Firing) -> Any:
        def provide() -> dict[str, Any]:
            merged: dict[str, Any] = {}
            for provider in firing.trigger.providers:
                merged.update(self._provided(provider, firing))
            return merged

        return provide

    def _provided(self, provider: Provider, firing: Firing) -> Mapping[str, Any]:
        if isinstance(provider, StaticArguments):
            return _decoded_mapping(provider.value)
        # A new context for each provider: one that mutates its context must not affect the next.
        context = TriggerContext(contexts=tuple(self._contexts(firing)))
        try:
            argument = context if provider.context == "trigger" else getattr(context, provider.context)
            arguments = self.timings.call(provider.name, self._function(provider.name), argument)
            if not isinstance(arguments, Mapping):
                raise TypeError(f"returned {type(arguments).__name__}: return a dict of argument names and values")
        except BaseException as exc:
            raise FunctionFailed(provider.name, describe(exc)) from exc
        return arguments

    def _static(self, firing: Firing) -> dict[str, Any]:
        merged: dict[str, Any] = {}
        for provider in firing.trigger.providers:
            assert isinstance(provider, StaticArguments)
            merged.update(_decoded_mapping(provider.value))
        return merged

    def _checked_arguments(self, firing: Firing, arguments: Any) -> msgspec.Raw | str:
        """The arguments encoded for the target task, or why the task cannot take them."""
        if isinstance(arguments, CallFailed):
            return f"{arguments.name}: {arguments.error}"
        try:
            raw = self._encoded(firing.trigger.task_id, arguments)
        except (TypeError, SerializationError) as exc:
            return describe(exc)
        size, limit = len(bytes(raw)), self._internals.settings.max_payload_bytes
        return raw if size <= limit else f"PayloadTooLarge: arguments of {size:,} bytes, the limit is {limit:,}"

    def _encoded(self, task_id: str, arguments: Mapping[str, Any]) -> msgspec.Raw:
        """The encoded arguments of a task; unchecked if only other live runners declare the task."""
        task = self._internals.registry.tasks.get(task_id)
        if task is None:
            return self._internals.codec.encode(arguments, what=f"task {task_id}, arguments")
        raw = task.signature.encode_arguments(task.signature.bind(**arguments))
        task.signature.decode_arguments(raw)
        return raw

    def _function(self, name: str) -> Callable[..., Any]:
        """The function with this name. Raises LookupError if the leader's code does not have it."""
        function = self._internals.registry.callables.get(name)
        if function is None:
            raise LookupError(
                f"the leader's code has no function {name}, and no runner that has it became leader in time"
            )
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
        task = self._internals.registry.tasks.get(task_id)
        return msgspec.msgpack.decode(raw) if task is None else task.signature.decode_arguments(raw)

    def _decode_result(self, task_id: str, raw: msgspec.Raw) -> Any:
        return self._internals.decode_result(task_id, raw)


def _provided(firing: Firing) -> list[ProvidedArguments]:
    return [provider for provider in firing.trigger.providers if isinstance(provider, ProvidedArguments)]


def _status_met(condition: Condition, entry: AnyEntry) -> InvocationStatus | None:
    """PENDING, if the condition watches it but not RUNNING: a Started entry implies that the status was PENDING."""
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
