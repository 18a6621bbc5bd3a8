"""Values of keys that look secret are masked."""

from typing import Any

import pytest

from trigger_engine import TriggerEngine
from trigger_engine._engine.explain import Explanation
from trigger_engine._engine.predicates import ConditionFinding, PredicateAnswer
from trigger_engine._monitor.masking import MASKED, Mask

MASK = Mask(["password", "api_key", "token"])


@pytest.mark.parametrize(
    "key", ["password", "Password", "user_password", "db-password-2", "API-Key", "apiKey", "x api key", "csrfToken"]
)
def test_value_of_a_secret_key_is_masked(key: str) -> None:
    assert MASK.value({key: "hunter2", "name": "Ada"}) == {key: MASKED, "name": "Ada"}


@pytest.mark.parametrize("key", ["pass", "key", "api", "name", "", 7])
def test_values_of_other_keys_are_shown(key: object) -> None:
    assert MASK.value({key: "shown"}) == {key: "shown"}


@pytest.mark.parametrize("secret", ["text", 7, None, ["a"], {"deep": "value"}])
def test_values_of_any_type_are_masked(secret: object) -> None:
    assert MASK.value([{"outer": ({"token": secret},)}]) == [{"outer": [{"token": MASKED}]}]


def test_deeply_nested_values_are_masked() -> None:
    nested: Any = "core"
    for _ in range(500):
        nested = {"a": nested}
    assert "core" not in str(MASK.value(nested))


def test_explanation_does_not_quote_a_secret() -> None:
    answers = (
        PredicateAnswer(what="payload.password", passed=False, text='is "hunter2", expected "hunter3"'),
        PredicateAnswer(what="payload.role", passed=False, text='is "guest", expected "admin"'),
    )
    explanation = Explanation(
        entry_id="e",
        trigger_id="t",
        slot="s",
        task_id="task",
        logic="and",
        outcome="filtered",
        text="; ".join(f"{one.what} {one.text}" for one in answers),
        conditions=(ConditionFinding(condition_id="c", met=False, answers=answers),),
    )
    masked = MASK.explanation(explanation)
    assert "hunter" not in str(masked)
    assert 'payload.role is "guest", expected "admin"' in masked.text


def test_masked_words_are_a_setting() -> None:
    app = TriggerEngine(app_id="shop", masked_keys=["salary"])
    mask = Mask(app._internals.settings.masked_keys)
    assert mask.value({"Salary": 1, "password": 2}) == {"Salary": MASKED, "password": 2}
    assert Mask(TriggerEngine(app_id="shop")._internals.settings.masked_keys).hides("user_password")
