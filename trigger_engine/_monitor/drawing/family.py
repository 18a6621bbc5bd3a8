"""The family tree of an invocation: ancestors on the left, descendants on the right."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

from trigger_engine._monitor.formatting import cut, short_id, short_task
from trigger_engine._readmodel.records import Family

SHOWN = 60
_COLUMN, _ROW = 190, 40
_BOX_WIDTH, _BOX_HEIGHT = 150, 28


@dataclass(frozen=True, slots=True)
class Relative:
    """A member. `is_self`: the invocation that the tree is about."""

    x: float
    y: float
    width: float
    height: float
    invocation_id: str
    task: str
    title: str
    status: str
    is_self: bool


@dataclass(frozen=True, slots=True)
class Bond:
    """A relation between two members."""

    path: str
    relation: str
    title: str


@dataclass(frozen=True, slots=True)
class Tree:
    """The drawing. `hidden`: the number of members not drawn."""

    width: int
    height: int
    relatives: tuple[Relative, ...]
    bonds: tuple[Bond, ...]
    hidden: int


def tree(family: Family) -> Tree:
    """Returns the drawing of the nearest relatives."""
    nearest = sorted(family.members, key=lambda one: abs(one.generation))[:SHOWN]
    columns: dict[int, list[str]] = defaultdict(list)
    for one in nearest:
        columns[one.generation].append(one.invocation_id)
    first = min(columns, default=0)
    tallest = max((len(ids) for ids in columns.values()), default=1)
    places: dict[str, tuple[float, float]] = {}
    for generation, ids in columns.items():
        top = (tallest - len(ids)) * _ROW / 2
        for index, invocation_id in enumerate(ids):
            places[invocation_id] = ((generation - first) * _COLUMN + 2, top + index * _ROW + 6)
    relatives = tuple(
        Relative(
            *places[one.invocation_id],
            _BOX_WIDTH,
            _BOX_HEIGHT,
            one.invocation_id,
            cut(short_task(one.task_id), 19),
            f"{one.task_id}, {one.status}",
            one.status.value,
            one.invocation_id == family.invocation_id,
        )
        for one in nearest
    )
    bonds = {
        (link.source_invocation_id, link.invocation_id, link.relation): link
        for link in family.links
        if link.source_invocation_id in places and link.invocation_id in places
    }
    drawn = tuple(
        Bond(_path(places[source], places[to]), relation, f"{relation} by {short_id(source)}")
        for source, to, relation in bonds
    )
    width = len(range(first, max(columns, default=0) + 1)) * _COLUMN - (_COLUMN - _BOX_WIDTH) + 4
    return Tree(width, tallest * _ROW + 4, relatives, drawn, len(family.members) - len(nearest))


def _path(source: tuple[float, float], to: tuple[float, float]) -> str:
    x1, y1 = source[0] + _BOX_WIDTH, source[1] + _BOX_HEIGHT / 2
    x2, y2 = to[0], to[1] + _BOX_HEIGHT / 2
    bend = max((x2 - x1) / 2, 14)
    return f"M{x1} {y1}C{x1 + bend} {y1} {x2 - bend} {y2} {x2} {y2}"
