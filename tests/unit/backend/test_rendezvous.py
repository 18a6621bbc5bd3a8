"""Runners that claim from the same queue share the work."""

from trigger_engine.backend._rendezvous import RecentClaimers, ranks_first

RUNNERS = ("one", "two", "three")
NAMES = [f"invocation-{number}" for number in range(300)]


def share_of(runner: str) -> list[str]:
    others = {*RUNNERS} - {runner}
    return [name for name in NAMES if ranks_first(runner, others, name)]


def test_runners_divide_the_work_between_them() -> None:
    shares = [share_of(runner) for runner in RUNNERS]
    assert sorted(name for share in shares for name in share) == sorted(NAMES)
    assert all(len(share) > 60 for share in shares)


def test_a_lone_runner_takes_everything() -> None:
    assert all(ranks_first("one", (), name) for name in NAMES)


def test_a_runner_counts_for_a_while_after_its_newest_start() -> None:
    claimers = RecentClaimers()
    claimers.note("one", 10.0)
    claimers.note("two", 10.5)
    assert set(claimers.others("one", 10.6)) == {"two"}
    assert set(claimers.others("three", 10.6)) == {"one", "two"}
    assert set(claimers.others("three", 10.0 + RecentClaimers.RECENT_SECONDS)) == {"two"}
    claimers.note("one", 12.0)
    assert set(claimers.others("three", 12.0)) == {"one"}
