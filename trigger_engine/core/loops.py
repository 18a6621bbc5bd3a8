"""Loops of triggers: tasks that may start each other without end, as far as their declarations show it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from itertools import pairwise
from typing import NamedTuple

from trigger_engine.entries.definitions import Condition, CronCondition, EventCondition, TriggerDefinition

Emitters = Mapping[str, Collection[str]]
"""By event code the ids of the tasks that are known to emit it."""
_Graph = dict[str, dict[str, str]]
"""By task what may start it: the tasks, each with the id of the condition on it."""


class Link(NamedTuple):
    """`task_id` starts the next task of a loop by meeting `condition_id`."""

    task_id: str
    condition_id: str


Loop = tuple[Link, ...]
"""Each link starts the next one, the last the first."""


def find_loops(
    triggers: Iterable[TriggerDefinition], emitters: Emitters | None = None, *, limit: int = 10
) -> list[Loop]:
    """Loops of tasks, at most `limit`; of loops that share a link, one may stand for all.

    A trigger with AND closes a loop only when the loop brings about all of its conditions. Filters are taken to pass.
    """
    graph = _starts(list(triggers), emitters or {})
    found: list[Loop] = []
    while len(found) < limit and (loop := _some_loop(graph)) is not None:
        found.append(_from_the_least(loop))
        following = loop[1].task_id if len(loop) > 1 else loop[0].task_id
        del graph[following][loop[0].task_id]
    return sorted(found)


def told(loop: Loop) -> str:
    """A loop in words."""
    first, *rest = loop
    if not rest:
        return f"{first.task_id} starts itself ({first.condition_id})"
    others = "".join(
        f" starts {link.task_id} ({before.condition_id}), which" for before, link in zip(loop, rest, strict=False)
    )
    return f"{first.task_id}{others} starts {first.task_id} ({loop[-1].condition_id})"


def _starts(triggers: list[TriggerDefinition], emitters: Emitters) -> _Graph:
    """Without the triggers that wait for something that their own task does not bring about."""
    while True:
        graph: _Graph = {}
        for trigger in triggers:
            for condition in trigger.conditions:
                for source in _sources(condition, emitters):
                    graph.setdefault(trigger.task_id, {}).setdefault(source, condition.id)
        followers = _followers(graph)
        kept = [trigger for trigger in triggers if _may_go_round(trigger, emitters, followers)]
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


def _may_go_round(trigger: TriggerDefinition, emitters: Emitters, followers: Mapping[str, list[str]]) -> bool:
    reached = set(_reached(trigger.task_id, followers))
    met = [not reached.isdisjoint(_sources(condition, emitters)) for condition in trigger.conditions]
    return all(met) if trigger.logic == "and" else any(met)


def _reached(task_id: str, followers: Mapping[str, list[str]]) -> Iterator[str]:
    """The task, and all that it may start."""
    seen, ahead = {task_id}, [task_id]
    while ahead:
        at = ahead.pop()
        yield at
        new = [one for one in followers.get(at, ()) if one not in seen]
        seen.update(new)
        ahead += new


def _some_loop(graph: _Graph) -> Loop | None:
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as exc:
        tasks: list[str] = exc.args[1]
        return tuple(Link(task, graph[after][task]) for task, after in pairwise(tasks))
    return None


def _from_the_least(loop: Loop) -> Loop:
    start = loop.index(min(loop))
    return loop[start:] + loop[:start]
