"""Trigger loops: tasks that may start each other endlessly, as far as their declarations show it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from itertools import pairwise
from typing import NamedTuple

from trigger_engine._model.definitions import Condition, CronCondition, EventCondition, TriggerDefinition

Emitters = Mapping[str, Collection[str]]
"""Ids of the tasks that are known to emit an event, by event code."""
_Graph = dict[str, dict[str, str]]
"""For each task, the tasks that may start it, each with the id of the condition on it."""


class LoopStep(NamedTuple):
    """`task_id` starts the next task of the loop by meeting `condition_id`."""

    task_id: str
    condition_id: str


Loop = tuple[LoopStep, ...]
"""Each step starts the next one, and the last step starts the first."""


def find_loops(
    triggers: Iterable[TriggerDefinition], emitters: Emitters | None = None, *, limit: int = 10
) -> list[Loop]:
    """Finds loops of tasks, at most `limit`. If several loops share a step, only one of them may be returned.

    An AND trigger closes a loop only if the loop can meet all of its conditions. Filters are assumed to pass.
    """
    graph = _starts(list(triggers), emitters or {})
    found: list[Loop] = []
    while len(found) < limit and (loop := _some_loop(graph)) is not None:
        found.append(_from_smallest(loop))
        following = loop[1].task_id if len(loop) > 1 else loop[0].task_id
        del graph[following][loop[0].task_id]
    return sorted(found)


def describe_loop(loop: Loop) -> str:
    """Describes a loop in words."""
    first, *rest = loop
    if not rest:
        return f"{first.task_id} starts itself ({first.condition_id})"
    others = "".join(
        f" starts {step.task_id} ({before.condition_id}), which" for before, step in zip(loop, rest, strict=False)
    )
    return f"{first.task_id}{others} starts {first.task_id} ({loop[-1].condition_id})"


def _starts(triggers: list[TriggerDefinition], emitters: Emitters) -> _Graph:
    """The graph of the triggers that may be part of a loop: the task of each can lead to its own conditions."""
    while True:
        graph: _Graph = {}
        for trigger in triggers:
            for condition in trigger.conditions:
                for source in _sources(condition, emitters):
                    graph.setdefault(trigger.task_id, {}).setdefault(source, condition.id)
        followers = _followers(graph)
        kept = [trigger for trigger in triggers if _may_loop(trigger, emitters, followers)]
        if len(kept) == len(triggers):
            return graph
        triggers = kept


def _sources(condition: Condition, emitters: Emitters) -> Collection[str]:
    if isinstance(condition, CronCondition):
        return ()
    return (
        sorted(emitters.get(condition.event_code, ()))
        if isinstance(condition, EventCondition)
        else (condition.task_id,)
    )


def _followers(graph: _Graph) -> dict[str, list[str]]:
    followers: dict[str, list[str]] = {}
    for task_id, sources in graph.items():
        for source in sources:
            followers.setdefault(source, []).append(task_id)
    return followers


def _may_loop(trigger: TriggerDefinition, emitters: Emitters, followers: Mapping[str, list[str]]) -> bool:
    reached = set(_reached(trigger.task_id, followers))
    met = [not reached.isdisjoint(_sources(condition, emitters)) for condition in trigger.conditions]
    return all(met) if trigger.logic == "and" else any(met)


def _reached(task_id: str, followers: Mapping[str, list[str]]) -> Iterator[str]:
    """The task itself and all tasks that it may start, directly or not."""
    seen, ahead = {task_id}, [task_id]
    while ahead:
        at = ahead.pop()
        yield at
        new = [task for task in followers.get(at, ()) if task not in seen]
        seen.update(new)
        ahead += new


def _some_loop(graph: _Graph) -> Loop | None:
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as exc:
        tasks: list[str] = exc.args[1]
        return tuple(LoopStep(task, graph[after][task]) for task, after in pairwise(tasks))
    return None


def _from_smallest(loop: Loop) -> Loop:
    """The loop, starting at its smallest step."""
    start = loop.index(min(loop))
    return loop[start:] + loop[:start]
