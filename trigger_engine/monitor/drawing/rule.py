"""A trigger as a small diagram: conditions on the left, their logic, the task on the right."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from trigger_engine.history import TriggerRecord
from trigger_engine.monitor.formatting import cut, short_task
from trigger_engine.monitor.words import condition_words

_ROW, _BOX = 36, 26
_LEFT, _LOGIC, _RIGHT = 320, 400, 470
_WIDTH = 700
_CHARACTERS = 46


@dataclass(frozen=True, slots=True)
class Box:
    """A condition or the task. `met`: whether something meets it now, None where that is not asked; `note`: below."""

    x: float
    y: float
    width: float
    height: float
    text: str
    title: str
    met: bool | None


@dataclass(frozen=True, slots=True)
class Rule:
    """The diagram. `lines`: paths from conditions to the logic and on to the task."""

    width: int
    height: int
    boxes: tuple[Box, ...]
    lines: tuple[str, ...]
    logic: str | None
    middle: float
    title: str


def rule(trigger: TriggerRecord, met: Collection[str] | None = None) -> Rule:
    """The diagram of a trigger. `met`: the ids of conditions that are marked as met; None marks nothing."""
    count = len(trigger.conditions)
    height = max(count, 1) * _ROW + 8
    middle = height / 2
    boxes, lines = [], []
    for index, condition in enumerate(trigger.conditions):
        words = condition_words(condition)
        y = index * _ROW + 4 + (_ROW - _BOX) / 2
        is_met = None if met is None else condition.condition_id in met
        boxes.append(Box(1, y, _LEFT - 1, _BOX, cut(words, _CHARACTERS), words, is_met))
        centre = y + _BOX / 2
        lines.append(f"M{_LEFT} {centre}C{_LEFT + 40} {centre} {_LOGIC - 50} {middle} {_LOGIC - 16} {middle}")
    lines.append(f"M{_LOGIC + 16 if count > 1 else _LOGIC - 16} {middle}H{_RIGHT}")
    task = short_task(trigger.task_id)
    boxes.append(Box(_RIGHT, middle - _BOX / 2, _WIDTH - _RIGHT - 1, _BOX, cut(task, 30), trigger.task_id, None))
    return Rule(
        _WIDTH, height, tuple(boxes), tuple(lines), trigger.logic if count > 1 else None, middle, trigger.task_id
    )
