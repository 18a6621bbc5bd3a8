"""Loops of tasks that start each other, as far as their declarations show them."""

from hypothesis import given
from hypothesis import strategies as st

from tests.unit.engine.declaring import on_any_result, on_cron, on_event, on_exception, on_result, on_status, trigger
from trigger_engine._engine.loops import Loop, describe_loop, find_loops
from trigger_engine._model.definitions import Condition, TriggerDefinition


def tasks(loops: list[Loop]) -> list[list[str]]:
    return [[link.task_id for link in loop] for loop in loops]


def chain(*pairs: tuple[str, str]) -> list[TriggerDefinition]:
    """Triggers with which the first task of each pair starts the second."""
    return [trigger(on_status(source, "success"), task=task) for source, task in pairs]


def test_tasks_that_start_each_other_are_a_loop() -> None:
    assert tasks(find_loops(chain(("a", "b"), ("b", "a")))) == [["a", "b"]]
    assert tasks(find_loops(chain(("c", "a"), ("a", "b"), ("b", "c"), ("b", "d")))) == [["a", "b", "c"]]


def test_task_that_starts_itself_is_a_loop() -> None:
    assert tasks(find_loops(chain(("a", "a")))) == [["a"]]


def test_every_kind_of_condition_on_a_task_may_close_a_loop() -> None:
    conditions: list[Condition] = [
        on_any_result("a"),
        on_result("a", 1),
        on_exception("a", "ValueError"),
        on_status("a", "retry"),
    ]
    for condition in conditions:
        (loop,) = find_loops([trigger(condition, task="a")])
        assert loop[0].condition_id == condition.id


def test_chain_of_tasks_is_not_a_loop() -> None:
    assert find_loops(chain(("a", "b"), ("b", "c"), ("a", "c"))) == []


def test_all_loops_are_found_up_to_the_limit() -> None:
    triggers = chain(("a", "b"), ("b", "a"), ("c", "c"), ("b", "c"), ("c", "a"))
    assert tasks(find_loops(triggers)) == [["a", "b"], ["a", "b", "c"], ["c"]]
    assert len(find_loops(triggers, limit=2)) == 2


def test_one_condition_of_an_or_trigger_closes_a_loop() -> None:
    assert tasks(find_loops([trigger(on_event("go"), on_status("a", "failed"), task="a")])) == [["a"]]


def test_and_trigger_with_an_outside_condition_closes_no_loop() -> None:
    for outside in (on_event("go"), on_cron("@daily"), on_status("other", "success")):
        assert find_loops([trigger(on_status("a", "failed"), outside, logic="and", task="a")]) == []


def test_and_trigger_that_leads_to_all_its_conditions_closes_a_loop() -> None:
    both = trigger(on_status("b", "success"), on_status("c", "success"), logic="and", task="a")
    assert tasks(find_loops([both, *chain(("a", "b"), ("a", "c"))])) == [["a", "b"], ["a", "c"]]
    assert find_loops([both, *chain(("a", "b"))]) == []


def test_and_trigger_that_depends_on_an_and_with_an_outside_condition_closes_no_loop() -> None:
    outside = trigger(on_status("a", "success"), on_event("go"), logic="and", task="c")
    both = trigger(on_status("b", "success"), on_status("c", "success"), logic="and", task="a")
    assert find_loops([both, outside, *chain(("a", "b"))]) == []


def test_events_close_a_loop_if_their_emitters_are_known() -> None:
    triggers = [trigger(on_event("paid"), task="ship"), trigger(on_event("shipped"), task="pay")]
    assert find_loops(triggers) == []
    loops = find_loops(triggers, {"paid": {"pay"}, "shipped": {"ship", "other"}})
    assert tasks(loops) == [["pay", "ship"]]


def test_description_of_a_loop_names_tasks_and_conditions() -> None:
    (itself,) = find_loops(chain(("a", "a")))
    assert describe_loop(itself) == f"a starts itself ({on_status('a', 'success').id})"
    a, b, c = (on_status(name, "success").id for name in "abc")
    (loop,) = find_loops(chain(("a", "b"), ("b", "c"), ("c", "a")))
    assert describe_loop(loop) == f"a starts b ({a}), which starts c ({b}), which starts a ({c})"


@given(st.lists(st.tuples(st.sampled_from("abcdef"), st.sampled_from("abcdef")), max_size=20))
def test_loop_is_found_exactly_if_a_task_reaches_itself(pairs: list[tuple[str, str]]) -> None:
    reached = set(pairs)
    for _ in range(6):
        reached |= {(a, d) for a, b in reached for c, d in pairs if b == c}
    loops = find_loops(chain(*pairs), limit=1000)
    assert bool(loops) == any(a == b for a, b in reached)
    for loop in tasks(loops):
        assert set(zip(loop, [*loop[1:], loop[0]], strict=True)) <= set(pairs)
