"""What looks secret is hidden, wherever a key says so."""

from typing import Any

import pytest

from trigger_engine import TriggerEngine
from trigger_engine.core.explain import Explanation
from trigger_engine.core.predicates import Answer, ConditionFinding
from trigger_engine.monitor.masking import MASKED, Mask

MASK = Mask(["password", "api_key", "token"])


@pytest.mark.parametrize(
    "key", ["password", "Password", "user_password", "db-password-2", "API-Key", "apiKey", "x api key", "csrfToken"]
)
def test_a_key_that_looks_secret_hides_its_value(key: str) -> None:
    assert MASK.value({key: "hunter2", "name": "Ada"}) == {key: MASKED, "name": "Ada"}


@pytest.mark.parametrize("key", ["pass", "key", "api", "name", "", 7])
def test_other_keys_do_not(key: object) -> None:
    assert MASK.value({key: "shown"}) == {key: "shown"}


@pytest.mark.parametrize("secret", ["text", 7, None, ["a"], {"deep": "value"}])
def test_whatever_the_value_is_nothing_of_it_is_left(secret: object) -> None:
    assert MASK.value([{"outer": ({"token": secret},)}]) == [{"outer": [{"token": MASKED}]}]


def test_what_is_nested_too_deep_is_hidden() -> None:
    nested: Any = "core"
    for _ in range(500):
        nested = {"a": nested}
    assert "core" not in str(MASK.value(nested))


def test_an_explanation_does_not_quote_a_secret() -> None:
    answers = (
        Answer(what="payload.password", passed=False, text='is "hunter2", expected "hunter3"'),
        Answer(what="payload.role", passed=False, text='is "guest", expected "admin"'),
    )
    told = Explanation(
        entry_id="e",
        trigger_id="t",
        slot="s",
        task_id="task",
        logic="and",
        outcome="filtered",
        text="; ".join(f"{one.what} {one.text}" for one in answers),
        conditions=(ConditionFinding(condition_id="c", met=False, answers=answers),),
    )
    masked = MASK.explanation(told)
    assert "hunter" not in str(masked)
    assert 'payload.role is "guest", expected "admin"' in masked.text


def test_the_words_are_a_setting() -> None:
    app = TriggerEngine(app_id="shop", masked_keys=["salary"])
    mask = Mask(app.settings.masked_keys)
    assert mask.value({"Salary": 1, "password": 2}) == {"Salary": MASKED, "password": 2}
    assert Mask(TriggerEngine(app_id="shop").settings.masked_keys).hides("user_password")
