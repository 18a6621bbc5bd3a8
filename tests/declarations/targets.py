"""Tasks for tests of declarations: what a trigger needs to know of a task, without an app around it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from trigger_engine.declaration import Declared
from trigger_engine.entries.definitions import Condition
from trigger_engine.signature import TaskSignature
from trigger_engine.trigger_builder import TriggerBuilder
from trigger_engine.values import Codec

CODEC = Codec()
APP = object()


@dataclass
class Settings:
    queue: str = "default"


@dataclass
class FakeTask:
    task_id: str
    func: Callable[..., Any]
    app: object = APP
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
FOREIGN = FakeTask("other.div", divide, app=object())


def declare(builder: TriggerBuilder, target: FakeTask = NOTE, place: int = 0) -> Declared:
    return builder.declare(target, slot=f"{target.task_id}#{place}", codec=CODEC, app=APP)


def conditions(builder: TriggerBuilder) -> tuple[Condition, ...]:
    return declare(builder).definition.conditions


def condition_id(builder: TriggerBuilder) -> str:
    (condition,) = conditions(builder)
    return condition.id
