"""Queries for relations between invocations: calls, reruns and trigger runs."""

from __future__ import annotations

from collections.abc import Iterable

from trigger_engine._engine.lifecycle import InvocationStatus
from trigger_engine._readmodel.queries.invocations import invocation
from trigger_engine._readmodel.queries.read_snapshot import ReadSnapshot, optional_datetime
from trigger_engine._readmodel.records import Family, FamilyLink, FamilyMember

_IN = "IN (SELECT value FROM json_each(?))"
_UP = (
    f"""SELECT parent_invocation_id, invocation_id, 'called', NULL, NULL FROM invocations
    WHERE invocation_id {_IN} AND parent_invocation_id IS NOT NULL""",
    f"""SELECT rerun_of, invocation_id, 'rerun', NULL, NULL FROM invocations
    WHERE invocation_id {_IN} AND rerun_of IS NOT NULL""",
    f"""SELECT source_invocation_id, invocation_id, 'triggered', trigger_run_id, entry_id FROM invocations
    JOIN participants ON run_position = position WHERE invocation_id {_IN} AND source_invocation_id IS NOT NULL""",
)
_DOWN = (
    f"""SELECT parent_invocation_id, invocation_id, 'called', NULL, NULL FROM invocations
    WHERE parent_invocation_id {_IN}""",
    f"""SELECT rerun_of, invocation_id, 'rerun', NULL, NULL FROM invocations WHERE rerun_of {_IN}""",
    f"""SELECT source_invocation_id, invocation_id, 'triggered', trigger_run_id, entry_id FROM participants
    JOIN invocations ON position = run_position WHERE source_invocation_id {_IN}""",
)


def family(snapshot: ReadSnapshot, invocation_id: str, limit: int) -> Family:
    """Returns ancestors and descendants, nearest first, about `limit` at most. Raises InvocationNotFound."""
    invocation(snapshot, invocation_id)
    generations = {invocation_id: 0}
    links: dict[FamilyLink, None] = {}
    above = _walk(snapshot, _UP, generations, links, step=-1, limit=limit)
    below = _walk(snapshot, _DOWN, generations, links, step=1, limit=limit)
    members = _members(snapshot, generations)
    known = {member.invocation_id for member in members}
    return Family(
        invocation_id=invocation_id,
        members=tuple(members),
        links=tuple(one for one in links if one.source_invocation_id in known and one.invocation_id in known),
        complete=above and below,
    )


def _walk(
    snapshot: ReadSnapshot,
    queries: Iterable[str],
    generations: dict[str, int],
    links: dict[FamilyLink, None],
    *,
    step: int,
    limit: int,
) -> bool:
    """Walks up (`step` -1) or down (1) one generation at a time. Returns False if the limit was reached."""
    level = [one for one, generation in generations.items() if generation == 0]
    generation = 0
    while level:
        generation += step
        found: list[str] = []
        for link in _links(snapshot, queries, level, limit):
            links[link] = None
            relative = link.source_invocation_id if step < 0 else link.invocation_id
            if relative not in generations:
                if len(generations) > limit:
                    return False
                generations[relative] = generation
                found.append(relative)
        level = found
    return True


def _links(snapshot: ReadSnapshot, queries: Iterable[str], level: list[str], limit: int) -> list[FamilyLink]:
    return [
        FamilyLink(source_invocation_id=source, invocation_id=to, relation=relation, run_id=run_id, entry_id=entry_id)
        for query in queries
        for source, to, relation, run_id, entry_id in snapshot.rows_for(f"{query} LIMIT {2 * limit + 2}", level)
    ]


def _members(snapshot: ReadSnapshot, generations: dict[str, int]) -> list[FamilyMember]:
    sql = f"SELECT invocation_id, task_id, status, time FROM invocations WHERE invocation_id {_IN} ORDER BY position"
    return [
        FamilyMember(
            invocation_id=one,
            task_id=task_id,
            status=InvocationStatus(status),
            registered_at=optional_datetime(time),
            generation=generations[one],
        )
        for one, task_id, status, time in snapshot.rows_for(sql, generations)
    ]
