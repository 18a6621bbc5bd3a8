"""Ids derived from content."""

from trigger_engine._model.ids import run_id, run_invocation_id
from trigger_engine.backend._ids import fresh_id


def test_ids_of_a_run_start_with_the_time_of_its_newest_contribution() -> None:
    older, newer = "0199aaaaaaaa" + "7" * 20, "0199bbbbbbbb" + "3" * 20
    run = run_id("trigger", [newer, older])
    assert run[:12] == run_invocation_id(run)[:12] == newer[:12]


def test_ids_of_runs_have_32_hex_digits_and_differ() -> None:
    event = fresh_id()
    runs = [run_id("a", [event]), run_id("b", [event]), run_id("a", [fresh_id()]), run_id("a", ["cron:x@60.0"])]
    found = {*runs, *map(run_invocation_id, runs)}
    assert len(found) == 8
    assert all(len(one) == 32 and set(one) <= set("0123456789abcdef") for one in found)


def test_run_id_depends_on_the_contributions_but_not_on_their_order() -> None:
    one, other = fresh_id(), fresh_id()
    assert run_id("trigger", [one, other, one]) == run_id("trigger", [other, one])
    assert run_id("trigger", [one]) != run_id("trigger", [other])
