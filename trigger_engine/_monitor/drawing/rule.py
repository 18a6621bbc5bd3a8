"""A trigger as a small diagram: conditions on the left, their logic, the task on the right."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from trigger_engine._monitor.descriptions import describe_condition
from trigger_engine._monitor.formatting import cut, short_task
from trigger_engine._readmodel.records import TriggerRecord

_ROW, _BOX = 36, 26
_LEFT, _LOGIC, _RIGHT = 320, 400, 470
_WIDTH = 700
_CHARACTERS = 46


@dataclass(frozen=True, slots=True)
class Box:
    """A condition or the task. `met`: whether the condition is met; None if that does not apply."""

    x: float
    y: float
    width: float
    height: float
    text: str
    title: str
    met: bool | None


@dataclass(frozen=True, slots=True)
class Rule:
    """The diagram. `lines`: paths from the conditions to the logic and from there to the task."""

    width: int
    height: int
    boxes: tuple[Box, ...]
    lines: tuple[str, ...]
    logic: str | None
    middle: float
    title: str


def rule(trigger: TriggerRecord, met: Collection[str] | None = None) -> Rule:
    """Returns the diagram of a trigger. `met`: the ids of conditions to mark as met; None marks nothing."""
    count = len(trigger.conditions)
    height = max(count, 1) * _ROW + 8
    middle = height / 2
    boxes, lines = [], []
    for index, condition in enumerate(trigger.conditions):
        text = describe_condition(condition)
        y = index * _ROW + 4 + (_ROW - _BOX) / 2
        is_met = None if met is None else condition.condition_id in met
        boxes.append(Box(1, y, _LEFT - 1, _BOX, cut(text, _CHARACTERS), text, is_met))
        center = y + _BOX / 2
        lines.append(f"M{_LEFT} {center}C{_LEFT + 40} {center} {_LOGIC - 50} {middle} {_LOGIC - 16} {middle}")
    lines.append(f"M{_LOGIC + 16 if count > 1 else _LOGIC - 16} {middle}H{_RIGHT}")
    task = short_task(trigger.task_id)
    boxes.append(Box(_RIGHT, middle - _BOX / 2, _WIDTH - _RIGHT - 1, _BOX, cut(task, 30), trigger.task_id, None))
    return Rule(
        _WIDTH, height, tuple(boxes), tuple(lines), trigger.logic if count > 1 else None, middle, trigger.task_id
    )
