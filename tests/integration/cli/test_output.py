"""Tables for people, JSON for machines."""

import io
import json
from collections.abc import Callable
from datetime import UTC, datetime
from enum import StrEnum

import msgspec
import pytest

from trigger_engine._cli.output import Column, print_json, print_table, print_text, time_text, value_text
from trigger_engine._readmodel.json_text import json_text

COLUMNS = (Column("time"), Column("task"), Column("payload", free=True), Column("id"))
ROWS = [("10:00", "shop.notify", '{"role":"admin","name":"Ada Lovelace"}', "abc123"), ("9:59", "x", "{}", "d")]
Print = Callable[..., list[str]]


@pytest.fixture
def table(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Print:
    """Returns a function that prints a table at a given width and returns its lines."""

    def printed(rows: list[tuple[str, ...]], width: int | None = None) -> list[str]:
        if width is not None:
            monkeypatch.setenv("COLUMNS", str(width))
        print_table(COLUMNS, rows, empty="No rows.")
        return capsys.readouterr().out.splitlines()

    return printed


def test_columns_are_on_one_line_if_they_fit(table: Print) -> None:
    assert table(ROWS, 80) == [
        "time   task         payload                                 id",
        '10:00  shop.notify  {"role":"admin","name":"Ada Lovelace"}  abc123',
        "9:59   x            {}                                      d",
    ]


def test_free_text_is_shortened_before_a_column_goes_below(table: Print) -> None:
    assert table(ROWS, 60) == [
        "time   task         payload                           id",
        '10:00  shop.notify  {"role":"admin","name":"Ada Lov…  abc123',
        "9:59   x            {}                                d",
    ]


def test_columns_that_do_not_fit_go_below_with_their_title(table: Print) -> None:
    assert table(ROWS, 40) == [
        "time   task         id",
        "10:00  shop.notify  abc123",
        '  payload  {"role":"admin","name":"Ada…',
        "9:59   x            d",
        "  payload  {}",
    ]


def test_ids_are_never_shortened(table: Print) -> None:
    assert "  id       abc123" in table(ROWS, 20)


def test_empty_column_is_left_out(table: Print) -> None:
    assert table([("10:00", "x", "", "abc")], 80) == ["time   task  id", "10:00  x     abc"]


def test_nothing_is_shortened_in_a_pipe(table: Print) -> None:
    long = "x" * 1000
    assert table([("10:00", "x", long, "abc")])[1] == f"10:00  x     {long}  abc"


def test_empty_table_prints_a_message(table: Print) -> None:
    assert table([], 80) == ["No rows."]


def test_brackets_and_control_characters_are_shown_as_text(table: Print) -> None:
    (_, line) = table([("[red]", "a\x1b[2Jb\nc", "[/]", "x")], 80)
    assert line == "[red]  a [2Jb c  [/]      x"


def test_wide_characters_keep_columns_aligned(table: Print) -> None:
    lines = table([("日本", "x", "", "abc"), ("10:00", "x", "", "abc")], 80)
    assert lines == ["time   task  id", "日本   x     abc", "10:00  x     abc"]


def test_lines_have_no_trailing_spaces(capsys: pytest.CaptureFixture[str]) -> None:
    print_text("one  ", "", "two")
    assert capsys.readouterr().out == "one\n\ntwo\n"


class Color(StrEnum):
    RED = "red"


class Sample(msgspec.Struct):
    time: datetime
    color: Color
    value: object


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"a": (1, None, True)}, {"a": [1, None, True]}),
        (b"\x00\x01", "AAE="),
        ({1: "a", None: "b", 2.5: "c"}, {"1": "a", "None": "b", "2.5": "c"}),
        (float("nan"), None),
        ({(1, 2): float("inf")}, {"(1, 2)": None}),
        (msgspec.msgpack.Ext(5, b"x"), {"ext": 5, "data": "eA=="}),
        (2**70, 2**70),
        (complex(1, 2), "(1+2j)"),
    ],
)
def test_any_value_becomes_one_line_of_json(
    value: object, expected: object, capsys: pytest.CaptureFixture[str]
) -> None:
    print_json(Sample(datetime(2026, 1, 2, tzinfo=UTC), Color.RED, value))
    printed = capsys.readouterr().out
    assert printed.count("\n") == 1
    found = json.loads(printed)
    assert (found["time"], found["color"]) == ("2026-01-02T00:00:00Z", "red")
    assert found["value"] == expected


def test_times_are_shown_in_the_local_zone() -> None:
    shown = time_text(datetime(2026, 1, 2, 3, 4, 5, 999_999, tzinfo=UTC))
    assert shown == f"{datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC).astimezone():%Y-%m-%d %H:%M:%S}"
    assert time_text(None) == ""


def test_long_value_is_shortened_only_in_tables() -> None:
    assert len(value_text("x" * 10_000)) < 1000
    assert len(json_text("x" * 10_000)) == 10_002


def test_terminal_gets_colors(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.delenv("NO_COLOR")
    monkeypatch.setenv("TERM", "xterm-256color")
    terminal = Terminal()
    monkeypatch.setattr("sys.stdout", terminal)
    print_table((Column("status"),), [("failed",)], empty="")
    assert "\x1b[31mfailed\x1b[0m" in terminal.getvalue()
