"""The fold of the log's messages, without a server."""

import itertools

import pytest
from trigger_engine_rabbitmq.fold import FoldResult, LogFold
from trigger_engine_rabbitmq.messages import Content, Message, Trim, decode_message, encode_message, encode_parts

from trigger_engine._audit.auditing import audit
from trigger_engine.backend import Batch, Cursor, Invocation, InvocationState, Part, Refused, Succeeded, start_entry
from trigger_engine.testing.conformance._sample_entries import (
    elected,
    evaluated,
    event,
    fired,
    raw,
    registration,
    settled,
)


class FoldedLog:
    """A log in one process, in the form that the audit reads."""

    refuses_void = True
    dense_positions = True

    def __init__(self) -> None:
        self.fold = LogFold("here")
        self._numbers = itertools.count(1)

    def write(self, content: Content) -> FoldResult:
        message = Message("writer", next(self._numbers), "log", content)
        return self.fold.fold(decode_message(encode_message(message)), True)

    async def start(self) -> Cursor:
        return self.fold.start()

    async def tail(self) -> Cursor:
        return self.fold.tail()

    async def follow(self, after: Cursor, *, limit: int = 1000, wait: float = 0.0) -> Batch:
        return self.fold.read(after, limit)


@pytest.mark.parametrize("at_once", [True, False], ids=["in one message", "one by one"])
async def test_a_stale_trigger_run_leaves_nothing_in_the_log(at_once: bool) -> None:
    log = FoldedLog()
    stale = fired("r1", 1)
    start = start_entry(stale, InvocationState(), runner_id="runner-1", now=0.0)
    held = InvocationState(attempt=1, claim_id=start.claim_id, runner_id="runner-1")
    end = settled(Succeeded, Invocation(stale, 4, held, start), result=raw(None))
    parts: list[Part] = [(stale, evaluated("j1", 1)), (start,), (end,)]
    log.write(encode_parts([(elected("l1"),), (elected("l2"),), (registration("i1"),), (event("a"),)]))

    results = [log.write(encode_parts(some)) for some in ([parts] if at_once else [[part] for part in parts])]

    outcomes = [outcome for each in results if isinstance(each, list) for outcome in each]
    assert [type(outcome) for outcome in outcomes] == [Refused] * 3
    log.write(encode_parts([(event("b"),)]))
    for trimmed in range(5):
        assert log.write(Trim(log.fold.tail(), 0.0, min(trimmed, 1))) == min(trimmed, 1)
        assert log.fold.invocation(stale.invocation_id) is None
        left = (await log.follow(log.fold.start())).entries
        assert [entry.id for _, entry in left] == ["l1", "l2", "i1", "a", "b"][trimmed:]
        report = await audit(log)
        assert report.consistent, report
        assert not report.void
