"""What a new leader reads before it evaluates: the records of its predecessors, and since when some runner is up."""

import pytest

from trigger_engine._engine.leader_recovery import Predecessors, up_since
from trigger_engine._model.entries import AnyEntry, Judged, LeaderElected, TriggersDeclared


def elected(name: str = "match") -> LeaderElected:
    return LeaderElected(id="leader", time=0.0, name=name, runner_id="runner")


def evaluated(term: int, upto: int) -> Judged:
    return Judged(id=f"evaluated {term} {upto}", time=0.0, term=term, upto=upto)


def declared(term: int) -> TriggersDeclared:
    return TriggersDeclared(id=f"declared {term}", time=0.0, term=term, triggers=(), from_start=True)


def read_all(predecessors: Predecessors, *entries: AnyEntry, start: int = 1) -> Predecessors:
    for position, entry in enumerate(entries, start=start):
        predecessors.read(position, entry)
    return predecessors


def test_newest_valid_decision_is_found() -> None:
    predecessors = read_all(Predecessors(), elected(), evaluated(1, 1), evaluated(1, 2))
    assert predecessors.recorded_upto == 3


def test_entry_of_a_leader_after_its_term_does_not_count() -> None:
    predecessors = read_all(Predecessors(), elected(), evaluated(1, 1), elected(), evaluated(1, 3))
    assert predecessors.recorded_upto == 2


def test_term_from_before_the_checkpoint_counts_until_the_next_election() -> None:
    predecessors = read_all(Predecessors(frozenset({7})), evaluated(7, 8), elected(), evaluated(7, 9), start=10)
    assert predecessors.recorded_upto == 10


def test_only_the_first_valid_declaration_is_the_first() -> None:
    predecessors = read_all(Predecessors(), elected(), elected(), declared(1), declared(2))
    assert predecessors.first_declaration == declared(2)


def test_election_under_another_name_ends_no_other_term() -> None:
    predecessors = read_all(Predecessors(), elected(), elected("cron"), evaluated(1, 2))
    assert predecessors.recorded_upto == 3


NOW = 1000.0


@pytest.mark.parametrize(
    ("alive", "since"),
    [
        ([], NOW),
        ([(990.0, NOW)], 990.0),
        ([(500.0, 995.0), (994.0, NOW)], 500.0),
        ([(500.0, 991.0), (995.0, NOW)], 500.0),
        ([(500.0, 980.0), (995.0, NOW)], 995.0),
        ([(100.0, 489.0), (500.0, 980.0), (989.0, NOW)], 500.0),
        ([(100.0, 985.0)], NOW),
        ([(100.0, 992.0)], 100.0),
        ([(400.0, 990.0), (100.0, 500.0), (985.0, NOW)], 100.0),
    ],
    ids=[
        "nothing ran",
        "one runner runs",
        "overlapping runners",
        "a break within the gap",
        "a break beyond the gap",
        "only the newest unbroken stretch counts",
        "the last runner stopped too long ago",
        "the last runner stopped just now",
        "a longer life that ended earlier",
    ],
)
def test_interruptions_up_to_the_gap_are_ignored(alive: list[tuple[float, float]], since: float) -> None:
    assert up_since(NOW, alive, gap=10.0) == since
