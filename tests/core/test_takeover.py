"""What a new leader learns before it judges anything."""

from trigger_engine.core.takeover import Precedent
from trigger_engine.entries.facts import AnyEntry, Judged, LeaderElected, TriggersDeclared


def elected(name: str = "match") -> LeaderElected:
    return LeaderElected(id="leader", time=0.0, name=name, runner_id="runner")


def judged(term: int, upto: int) -> Judged:
    return Judged(id=f"judged {term} {upto}", time=0.0, term=term, upto=upto)


def declared(term: int) -> TriggersDeclared:
    return TriggersDeclared(id=f"declared {term}", time=0.0, term=term, triggers=(), from_start=True)


def read_all(precedent: Precedent, *entries: AnyEntry, start: int = 1) -> Precedent:
    for position, entry in enumerate(entries, start=start):
        precedent.read(position, entry)
    return precedent


def test_the_newest_valid_judgement_is_found() -> None:
    precedent = read_all(Precedent(), elected(), judged(1, 1), judged(1, 2))
    assert precedent.recorded_upto == 3


def test_what_a_former_leader_writes_after_its_term_does_not_count() -> None:
    precedent = read_all(Precedent(), elected(), judged(1, 1), elected(), judged(1, 3))
    assert precedent.recorded_upto == 2


def test_a_term_from_before_the_checkpoint_counts_until_the_next_election() -> None:
    precedent = read_all(Precedent(frozenset({7})), judged(7, 8), elected(), judged(7, 9), start=10)
    assert precedent.recorded_upto == 10


def test_only_the_first_valid_declaration_is_the_first() -> None:
    precedent = read_all(Precedent(), elected(), elected(), declared(1), declared(2))
    assert precedent.first_declaration == declared(2)


def test_an_election_under_another_name_ends_no_other_term() -> None:
    precedent = read_all(Precedent(), elected(), elected("cron"), judged(1, 2))
    assert precedent.recorded_upto == 3
