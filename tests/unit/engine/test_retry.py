"""Retry policies and backoff."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trigger_engine._engine.retry import RetryPolicy, backoff


@pytest.mark.parametrize(
    ("max_retries", "attempt", "retryable", "allowed"),
    [(0, 1, True, False), (1, 1, True, True), (1, 2, True, False), (3, 3, True, True), (3, 1, False, False)],
)
def test_another_attempt_follows_while_retries_are_left(
    max_retries: int, attempt: int, retryable: bool, allowed: bool
) -> None:
    policy = RetryPolicy(max_retries=max_retries, retry_for=(Exception,))
    assert policy.allows(attempt, retryable=retryable) is allowed


def test_delay_doubles_up_to_the_cap() -> None:
    delays = [backoff("one", attempt, base=1.0, cap=60.0) for attempt in range(1, 12)]
    for attempt, delay in enumerate(delays, start=1):
        whole = min(60.0, 2.0 ** (attempt - 1))
        assert 0.75 * whole <= delay <= whole


@given(st.text(), st.integers(1, 10_000))
def test_delay_is_the_same_in_every_process_and_never_above_the_cap(invocation_id: str, attempt: int) -> None:
    delay = backoff(invocation_id, attempt, base=0.5, cap=300.0)
    assert delay == backoff(invocation_id, attempt, base=0.5, cap=300.0)
    assert 0 < delay <= 300.0


def test_invocations_that_fail_together_retry_at_different_times() -> None:
    delays = {backoff(f"invocation {number}", 3, base=1.0, cap=300.0) for number in range(50)}
    assert len(delays) == 50
