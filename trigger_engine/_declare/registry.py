"""What an app declares: its tasks, their triggers, and the functions that these call."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Any

from trigger_engine._declare.builder import TriggerBuilder
from trigger_engine._declare.compilation import Declared, check_call_arguments
from trigger_engine._declare.task_definition import TaskDefinition
from trigger_engine._declare.values import Codec
from trigger_engine._model.definitions import TriggerDefinition, condition_task
from trigger_engine._suggestions import did_you_mean
from trigger_engine.errors import DeclarationError, UnknownTask


class Registry:
    """The declared tasks of one app, by task id, and their triggers, by slot."""

    def __init__(self) -> None:
        self.tasks: dict[str, TaskDefinition] = {}
        self.triggers: dict[str, TriggerDefinition] = {}
        self.callables: dict[str, Callable[..., Any]] = {}
        self._references: dict[str, str] = {}

    def add(self, task: TaskDefinition, triggers: Sequence[TriggerBuilder], codec: Codec) -> None:
        """Declares a task with its triggers, all or nothing. Raises DeclarationError."""
        self._check_new(task)
        declared = [
            builder.declare(task, slot=f"{task.task_id}#{place}", codec=codec, registry=self)
            for place, builder in enumerate(triggers)
        ]
        _check_distinct(task, declared)
        for slot in [slot for slot in self.triggers if slot.rpartition("#")[0] == task.task_id]:
            del self.triggers[slot]
        for one in declared:
            self._check_callables(task, one)
        self.tasks[task.task_id] = task
        for one in declared:
            self.triggers[one.definition.slot] = one.definition
            self.callables.update(one.callables)
            self._references.update(dict.fromkeys(one.referenced_tasks, task.task_id))

    def task(self, task_id: str) -> TaskDefinition:
        """The task with this id. Raises UnknownTask with the nearest known id."""
        found = self.tasks.get(task_id)
        if found is None:
            raise UnknownTask(self._unknown(task_id))
        return found

    def unresolved(self) -> dict[str, str]:
        """Task ids that triggers watch and nothing declares (yet), each with the task whose trigger names it."""
        return {watched: by for watched, by in self._references.items() if watched not in self.tasks}

    def check_references(self) -> None:
        """Checks what triggers name by a task's id, now that every task is declared.

        Raises UnknownTask for a task that nothing declares, DeclarationError for a call argument that it does not take.
        """
        for watched, by in self.unresolved().items():
            raise UnknownTask(f"the trigger on {by} watches a task that is not declared: {self._unknown(watched)}")
        for trigger in self.triggers.values():
            for condition in trigger.conditions:
                if (task_id := condition_task(condition)) is not None:
                    check_call_arguments(condition, self.tasks[task_id].signature, f"trigger {trigger.slot}")

    def _unknown(self, task_id: str) -> str:
        hint = did_you_mean(task_id, self.tasks)
        return f"no task {task_id!r}{hint or ':'} add its module to trigger_task_modules if no runner imports it"

    def _check_callables(self, task: TaskDefinition, declared: Declared) -> None:
        """A name stands for one function: the log knows filters and providers by their names."""
        for name, function in declared.callables.items():
            known = self.callables.get(name, function)
            if known is not function and not _is_redefinition(known, function):
                raise DeclarationError(
                    f"task {task.task_id}: another filter or provider is named {name} too: rename one of the functions"
                )

    def _check_new(self, task: TaskDefinition) -> None:
        known = self.tasks.get(task.task_id)
        if known is None or _is_redefinition(known.func, task.func):
            return
        raise DeclarationError(
            f"task {task.task_id} is declared twice: rename one of the functions, or give it its own task_id"
        )


def _is_redefinition(old: Callable[..., Any], new: Callable[..., Any]) -> bool:
    """True when the same source line ran again (a reload), or in an interactive session."""
    old_code, new_code = old.__code__, new.__code__
    same_place = (old_code.co_filename, old_code.co_firstlineno) == (new_code.co_filename, new_code.co_firstlineno)
    return same_place or (new.__module__ == "__main__" and not hasattr(sys.modules["__main__"], "__file__"))


def _check_distinct(task: TaskDefinition, declared: Sequence[Declared]) -> None:
    seen: dict[str, str] = {}
    for one in declared:
        if one.definition.id in seen:
            raise DeclarationError(
                f"task {task.task_id}: triggers {seen[one.definition.id]} and {one.definition.slot} are the same: "
                "drop one of them"
            )
        seen[one.definition.id] = one.definition.slot
