"""Making status entries: every field but the news itself comes from the registration and the state."""

from __future__ import annotations

from typing import Any, TypeVar, get_args

from trigger_engine.core.ids import status_entry_id
from trigger_engine.core.lifecycle import InvocationState
from trigger_engine.entries.facts import Cancelled, InvocationRegistered, StatusEntry, StatusMove, TriggerFired

S = TypeVar("S", bound=StatusEntry)
_KINDS: dict[type[StatusEntry], str] = {kind: str(kind.__struct_config__.tag) for kind in get_args(StatusMove)}


def status_entry(
    kind: type[S],
    registration: InvocationRegistered | TriggerFired,
    state: InvocationState,
    *,
    now: float,
    cause: str,
    cancel_id: str = "",
    **news: Any,
) -> S:
    """An entry that moves an invocation by the claim in `state`; `news` are the fields that only this kind has.

    `cancel_id`: of a `Cancelled`, which no claim makes: its own token, so that of several cancels one alone counts.
    """
    by_claim = kind is not Cancelled
    claim_id = state.claim_id if by_claim else cancel_id
    return kind(
        id=status_entry_id(_KINDS[kind], registration.invocation_id, claim_id),
        time=now,
        cause=cause,
        depth=registration.depth,
        invocation_id=registration.invocation_id,
        task_id=registration.task_id,
        arguments=registration.arguments,
        attempt=state.attempt,
        claim_id=claim_id,
        runner_id=state.runner_id if by_claim else None,
        **news,
    )
