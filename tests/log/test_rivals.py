"""Runners that choose from the same queue share it out."""

from trigger_engine.log.rivals import KEPT_SECONDS, Rivals, is_first

RUNNERS = ("one", "two", "three")
NAMES = [f"invocation-{number}" for number in range(300)]


def test_each_piece_of_work_is_for_one_of_those_who_know_of_one_another() -> None:
    shares = {runner: [name for name in NAMES if is_first(runner, {*RUNNERS} - {runner}, name)] for runner in RUNNERS}
    assert sorted(name for share in shares.values() for name in share) == sorted(NAMES)
    assert all(len(share) > 60 for share in shares.values())


def test_who_is_alone_takes_all() -> None:
    assert all(is_first("one", (), name) for name in NAMES)


def test_a_runner_counts_for_a_while_after_its_newest_start() -> None:
    rivals = Rivals()
    rivals.note("one", 10.0)
    rivals.note("two", 10.5)
    assert set(rivals.of("one", 10.6)) == {"two"}
    assert set(rivals.of("three", 10.6)) == {"one", "two"}
    assert set(rivals.of("three", 10.0 + KEPT_SECONDS)) == {"two"}
    rivals.note("one", 12.0)
    assert set(rivals.of("three", 12.0)) == {"one"}
