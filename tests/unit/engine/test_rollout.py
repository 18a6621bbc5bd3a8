"""Which triggers a leader declares, suspends, resumes and retires."""

import msgspec
import pytest

from trigger_engine._engine.active_declarations import ActiveTrigger
from trigger_engine._engine.rollout import TriggerChanges, missing, plan_changes, yields_to
from trigger_engine._model.definitions import CallableFilter, EventCondition, TriggerDefinition

NOW, RETIRE_BEFORE = 1000.0, 400.0


def trigger(content: str = "a", *, slot: str = "task#0", with_code: bool = False) -> TriggerDefinition:
    payload_filter = CallableFilter(name="module.is_large", code="1") if with_code else None
    condition = EventCondition(id=f"event:{content}", event_code=content, payload_filter=payload_filter)
    return TriggerDefinition(
        id=f"task:{content}", slot=slot, task_id="task", logic="and", conditions=(condition,), providers=()
    )


def active(definition: TriggerDefinition, *, suspended: bool = False) -> ActiveTrigger:
    return ActiveTrigger(definition, 1, 0.0, suspended)


def pair(definition: TriggerDefinition) -> tuple[str, str]:
    return definition.slot, definition.id


def found(
    held: list[ActiveTrigger], own: list[TriggerDefinition], missing_since: dict[tuple[str, str], float] | None = None
) -> TriggerChanges:
    return plan_changes(held, {one.slot: one for one in own}, missing_since or {}, retire_before=RETIRE_BEFORE)


def test_nothing_changes_while_the_leader_has_the_active_triggers() -> None:
    assert found([active(trigger())], [trigger()]) == TriggerChanges()


def test_new_slot_new_content_and_new_code_are_declared() -> None:
    old_code, new_code = trigger("c", slot="c#0", with_code=True), trigger("c", slot="c#0", with_code=True)
    filtered = new_code.conditions[0]
    assert isinstance(filtered, EventCondition)
    newer = msgspec.structs.replace(filtered, payload_filter=CallableFilter(name="module.is_large", code="2"))
    new_code = msgspec.structs.replace(new_code, conditions=(newer,))
    own = [trigger("b"), trigger("n", slot="n#0"), new_code]
    assert found([active(trigger("a")), active(old_code)], own).declared == tuple(own)


def test_trigger_of_another_live_runner_stays_active_if_it_needs_no_code() -> None:
    assert found([active(trigger())], []) == TriggerChanges()


def test_trigger_whose_code_the_leader_lacks_is_suspended() -> None:
    coded = trigger(with_code=True)
    assert found([active(coded)], []).suspended == (coded,)


def test_trigger_that_no_runner_has_is_suspended_and_later_retired() -> None:
    gone = trigger()
    assert found([active(gone)], [], {pair(gone): NOW}).suspended == (gone,)
    assert found([active(gone, suspended=True)], [], {pair(gone): RETIRE_BEFORE + 1}) == TriggerChanges()
    assert found([active(gone, suspended=True)], [], {pair(gone): RETIRE_BEFORE - 1}).retired == (gone,)


@pytest.mark.parametrize("own", [[trigger()], []], ids=["the leader has it again", "another runner has it again"])
def test_suspended_trigger_is_resumed_when_it_can_be_evaluated_again(own: list[TriggerDefinition]) -> None:
    assert found([active(trigger(), suspended=True)], own).resumed == (trigger(),)


def test_missing_remembers_since_when_no_runner_has_a_trigger() -> None:
    there, gone = trigger("a", slot="a#0"), trigger("b", slot="b#0")
    held = [active(there), active(gone)]
    first = missing(held, {pair(there)}, {}, 10.0)
    assert first == {pair(gone): 10.0}
    assert missing(held, {pair(there)}, first, 20.0) == {pair(gone): 10.0}
    assert missing(held, {pair(there), pair(gone)}, first, 30.0) == {}


@pytest.mark.parametrize(
    ("other", "same_triggers", "yields"),
    [((2.0, 0.0), False, True), ((1.0, 9.0), False, True), ((1.0, 1.0), False, False), ((9.0, 9.0), True, False)],
    ids=["newer code", "same code, started later", "started earlier", "same triggers"],
)
def test_leader_yields_to_newer_code_with_other_triggers(
    other: tuple[float, float], same_triggers: bool, yields: bool
) -> None:
    own_triggers = frozenset({("task#0", "a")})
    others = own_triggers if same_triggers else frozenset({("task#0", "b")})
    assert yields_to((1.0, 5.0), own_triggers, other, others) is yields
