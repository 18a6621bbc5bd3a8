"""Fake tasks for tests of declarations: what a trigger uses of a task, without an app."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from trigger_engine._declare.builder import TriggerBuilder
from trigger_engine._declare.compilation import Declared
from trigger_engine._declare.signature import TaskSignature
from trigger_engine._declare.values import Codec
from trigger_engine._model.definitions import Condition

CODEC = Codec()
APP = object()


@dataclass
class Settings:
    queue: str = "default"


@dataclass
class FakeTask:
    task_id: str
    func: Callable[..., Any]
    registry: object = APP
    settings: Settings = field(default_factory=Settings)

    @property
    def signature(self) -> TaskSignature:
        return TaskSignature.from_function(self.func, task_id=self.task_id, codec=CODEC)

    def __call__(self) -> None: ...


def divide(x: int, y: int) -> float:
    return x / y


def note() -> None: ...


SOURCE = FakeTask("tasks.div", divide)
NOTE = FakeTask("tasks.note", note)
FOREIGN = FakeTask("other.div", divide, registry=object())


def declare(builder: TriggerBuilder, target: FakeTask = NOTE, place: int = 0) -> Declared:
    return builder.declare(target, slot=f"{target.task_id}#{place}", codec=CODEC, registry=APP)


def conditions(builder: TriggerBuilder) -> tuple[Condition, ...]:
    return declare(builder).definition.conditions


def condition_id(builder: TriggerBuilder) -> str:
    (condition,) = conditions(builder)
    return condition.id
