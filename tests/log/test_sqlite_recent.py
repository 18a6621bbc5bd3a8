"""The newest entries as this process wrote them."""

from hypothesis import given
from hypothesis import strategies as st

from trigger_engine.entries.facts import AnyEntry, LeaderElected
from trigger_engine.log.contract import Bookmark
from trigger_engine.log.sqlite.recent import RecentEntries

FILE = (1, 2)


def entry(position: int) -> tuple[int, AnyEntry]:
    return position, LeaderElected(id=f"entry {position}", time=0.0, name="match", runner_id="runner")


def at(position: int, log_id: str = "log") -> Bookmark:
    return Bookmark(log_id, position, f"entry {position}")


def add(recent: RecentEntries, log_id: str, entries: list[tuple[int, AnyEntry]], *, size: int = 100) -> None:
    recent.add((log_id, FILE), entries, size * len(entries))


def test_a_follower_within_what_is_known_is_given_what_follows() -> None:
    recent = RecentEntries()
    add(recent, "log", [entry(5), entry(6)])
    add(recent, "log", [entry(7)])
    batch = recent.after(at(5), 10, FILE)
    assert batch is not None
    assert [position for position, _ in batch.entries] == [6, 7]
    assert batch.bookmark == at(7)


def test_a_follower_right_before_it_is_given_all_of_it_up_to_the_limit() -> None:
    recent = RecentEntries()
    add(recent, "log", [entry(5), entry(6), entry(7)])
    batch = recent.after(at(4), 2, FILE)
    assert batch is not None
    assert [position for position, _ in batch.entries] == [5, 6]
    assert batch.bookmark == at(6)


def test_a_follower_elsewhere_has_to_read() -> None:
    recent = RecentEntries()
    assert recent.after(at(0), 1, FILE) is None
    add(recent, "log", [entry(5), entry(6)])
    assert recent.after(at(3), 1, FILE) is None
    assert recent.after(at(6), 1, FILE) is None
    assert recent.after(at(9), 1, FILE) is None
    assert recent.after(at(5, log_id="another"), 1, FILE) is None
    assert recent.after(Bookmark("log", 5, "another entry 5"), 1, FILE) is None


def test_entries_of_others_in_between_break_the_run() -> None:
    recent = RecentEntries()
    add(recent, "log", [entry(5), entry(6)])
    add(recent, "log", [entry(9)])
    assert recent.after(at(5), 10, FILE) is None
    batch = recent.after(at(8), 10, FILE)
    assert batch is not None
    assert batch.bookmark == at(9)


@given(st.lists(st.integers(1, 5), min_size=1, max_size=8), st.integers(0, 40), st.integers(1, 12))
def test_what_is_given_does_not_depend_on_the_commits(sizes: list[int], after: int, limit: int) -> None:
    recent, written = RecentEntries(), [entry(position) for position in range(1, sum(sizes) + 1)]
    start = 0
    for size in sizes:
        add(recent, "log", written[start : start + size])
        start += size
    batch = recent.after(at(after), limit, FILE)
    expected = written[after : after + limit]
    assert (batch.entries if batch else []) == expected


def test_another_log_takes_the_place_of_this_one() -> None:
    recent = RecentEntries()
    add(recent, "log", [entry(5)])
    add(recent, "another", [entry(6)])
    assert recent.after(at(5), 10, FILE) is None
    assert recent.after(at(5, log_id="another"), 10, FILE) is not None


def test_only_so_many_are_kept() -> None:
    recent = RecentEntries(max_entries=3)
    for position in range(1, 9):
        add(recent, "log", [entry(position)])
    assert recent.after(at(4), 10, FILE) is None
    batch = recent.after(at(5), 10, FILE)
    assert batch is not None
    assert batch.bookmark == at(8)


def test_a_commit_of_more_than_are_kept_has_to_be_read() -> None:
    recent = RecentEntries(max_entries=3)
    add(recent, "log", [entry(position) for position in range(1, 6)])
    assert recent.after(at(4), 10, FILE) is None
    add(recent, "log", [entry(6)])
    assert recent.after(at(5), 10, FILE) is not None


def test_only_so_many_bytes_are_kept() -> None:
    recent = RecentEntries(max_bytes=250)
    for position in (1, 2, 3):
        add(recent, "log", [entry(position)])
    assert recent.after(at(0), 10, FILE) is None
    assert recent.after(at(1), 10, FILE) is not None
    add(recent, "log", [entry(4)], size=300)
    assert recent.after(at(3), 10, FILE) is None


def test_another_file_at_the_same_place_is_read() -> None:
    recent = RecentEntries()
    add(recent, "log", [entry(1), entry(2)])
    assert recent.after(at(1), 10, (1, 3)) is None
