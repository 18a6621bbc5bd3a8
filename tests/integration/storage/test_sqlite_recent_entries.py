"""The cache of the entries that this process wrote last."""

from hypothesis import given
from hypothesis import strategies as st

from trigger_engine._model.entries import AnyEntry, LeaderElected
from trigger_engine._storage.sqlite.recent_entries import RecentEntries
from trigger_engine.backend._contract import Cursor

FILE = (1, 2)


def entry(position: int) -> tuple[int, AnyEntry]:
    return position, LeaderElected(id=f"entry {position}", time=0.0, name="match", runner_id="runner")


def at(position: int, log_id: str = "log") -> Cursor:
    return Cursor(log_id, position, f"entry {position}")


def add(recent: RecentEntries, log_id: str, entries: list[tuple[int, AnyEntry]], *, size: int = 100) -> None:
    recent.add((log_id, FILE), entries, size * len(entries))


def test_cursor_within_the_cache_gets_the_entries_after_it() -> None:
    recent = RecentEntries()
    add(recent, "log", [entry(5), entry(6)])
    add(recent, "log", [entry(7)])
    batch = recent.after(at(5), 10, FILE)
    assert batch is not None
    assert [position for position, _ in batch.entries] == [6, 7]
    assert batch.cursor == at(7)


def test_cursor_right_before_the_cache_gets_all_of_it_up_to_the_limit() -> None:
    recent = RecentEntries()
    add(recent, "log", [entry(5), entry(6), entry(7)])
    batch = recent.after(at(4), 2, FILE)
    assert batch is not None
    assert [position for position, _ in batch.entries] == [5, 6]
    assert batch.cursor == at(6)


def test_cursor_outside_the_cache_gets_nothing() -> None:
    recent = RecentEntries()
    assert recent.after(at(0), 1, FILE) is None
    add(recent, "log", [entry(5), entry(6)])
    assert recent.after(at(3), 1, FILE) is None
    assert recent.after(at(6), 1, FILE) is None
    assert recent.after(at(9), 1, FILE) is None
    assert recent.after(at(5, log_id="another"), 1, FILE) is None
    assert recent.after(Cursor("log", 5, "another entry 5"), 1, FILE) is None


def test_entries_of_another_process_in_between_empty_the_cache() -> None:
    recent = RecentEntries()
    add(recent, "log", [entry(5), entry(6)])
    add(recent, "log", [entry(9)])
    assert recent.after(at(5), 10, FILE) is None
    batch = recent.after(at(8), 10, FILE)
    assert batch is not None
    assert batch.cursor == at(9)


@given(st.lists(st.integers(1, 5), min_size=1, max_size=8), st.integers(0, 40), st.integers(1, 12))
def test_result_does_not_depend_on_the_commit_sizes(sizes: list[int], after: int, limit: int) -> None:
    recent, written = RecentEntries(), [entry(position) for position in range(1, sum(sizes) + 1)]
    start = 0
    for size in sizes:
        add(recent, "log", written[start : start + size])
        start += size
    batch = recent.after(at(after), limit, FILE)
    expected = written[after : after + limit]
    assert (batch.entries if batch else []) == expected


def test_entries_of_another_log_replace_the_cached_ones() -> None:
    recent = RecentEntries()
    add(recent, "log", [entry(5)])
    add(recent, "another", [entry(6)])
    assert recent.after(at(5), 10, FILE) is None
    assert recent.after(at(5, log_id="another"), 10, FILE) is not None


def test_number_of_cached_entries_is_limited() -> None:
    recent = RecentEntries(max_entries=3)
    for position in range(1, 9):
        add(recent, "log", [entry(position)])
    assert recent.after(at(4), 10, FILE) is None
    batch = recent.after(at(5), 10, FILE)
    assert batch is not None
    assert batch.cursor == at(8)


def test_commit_larger_than_the_cache_is_not_cached() -> None:
    recent = RecentEntries(max_entries=3)
    add(recent, "log", [entry(position) for position in range(1, 6)])
    assert recent.after(at(4), 10, FILE) is None
    add(recent, "log", [entry(6)])
    assert recent.after(at(5), 10, FILE) is not None


def test_number_of_cached_bytes_is_limited() -> None:
    recent = RecentEntries(max_bytes=250)
    for position in (1, 2, 3):
        add(recent, "log", [entry(position)])
    assert recent.after(at(0), 10, FILE) is None
    assert recent.after(at(1), 10, FILE) is not None
    add(recent, "log", [entry(4)], size=300)
    assert recent.after(at(3), 10, FILE) is None


def test_another_file_at_the_same_path_gets_nothing_from_the_cache() -> None:
    recent = RecentEntries()
    add(recent, "log", [entry(1), entry(2)])
    assert recent.after(at(1), 10, (1, 3)) is None
