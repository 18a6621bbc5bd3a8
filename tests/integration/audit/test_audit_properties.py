"""The audit against the matcher: what leaders record for any log is consistent, and no part of it can be missing."""

import asyncio
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tests.integration.audit.list_log import ListLog
from tests.unit.engine.leading import Checkpoint, Leader
from tests.unit.engine.oracle import valid_entries
from tests.unit.engine.recorded_log import Log
from tests.unit.engine.strategies import CALLABLES, LIMITS, Script, apply, scripts
from trigger_engine._audit.auditing import audit
from trigger_engine._audit.join_state import AuditLimits
from trigger_engine._audit.report import AuditReport
from trigger_engine._audit.user_code import UserCode
from trigger_engine._model.entries import ChainEnded, FilterFailed, TriggerFired, TriggerRejected

AUDIT_LIMITS = AuditLimits(
    max_chain_length=LIMITS.max_chain_length,
    max_contributions=LIMITS.max_contributions,
    max_contribution_bytes=LIMITS.max_contribution_bytes,
)
# The scripts invent the ids of entries by users and workers, and let keys expire.
IGNORED_CHECKS = {"derived ids", "unique ids", "invocations"}


class SameCode(UserCode):
    """The functions of the scripts, whose declarations have "1" instead of a hash."""

    def __init__(self) -> None:
        super().__init__(CALLABLES)
        self._hashes = dict.fromkeys(CALLABLES, "1")


def audited(entries: list[Any], code: UserCode) -> AuditReport:
    return asyncio.run(audit(ListLog(entries, refuses_void=False), code=code, limits=AUDIT_LIMITS))


def violations(report: AuditReport) -> list[Any]:
    assert sum(report.violation_counts.values()) == len(report.violations)
    return [violation for violation in report.violations if violation.check not in IGNORED_CHECKS]


def evaluated_log(script: Script, data: st.DataObject) -> Log:
    """Returns the log of a script, evaluated by several leaders in turn."""
    log = Log()
    for step in script.steps[:2]:
        apply(step, log)
    leader = Leader(log, LIMITS, script.first)
    checkpoint: Checkpoint | None = None
    for step in script.steps[2:]:
        apply(step, log)
        match data.draw(st.sampled_from(["wait", "cycle", "cycle", "checkpoint", "die", "zombie"])):
            case "cycle":
                leader.cycle()
            case "checkpoint":
                leader.cycle()
                checkpoint = leader.checkpoint()
            case "die":
                leader = Leader(log, LIMITS, script.first, checkpoint, reads_first=True)
            case "zombie":
                leader.read()
                parts = leader.evaluate()
                former, leader = leader, Leader(log, LIMITS, script.first, checkpoint, reads_first=True)
                former.append(parts)
            case _:
                pass
    leader.finish()
    ids = [entry.id for _, entry in valid_entries(log.entries, track_keys=True)]
    assume(len(set(ids)) == len(ids))  # If a key is reused after retention, recorded ids are ambiguous.
    return log


@pytest.mark.parametrize("code", [SameCode(), UserCode({})], ids=["code", "no code"])
@settings(max_examples=60, deadline=None)
@given(script=scripts(max_size=30), data=st.data())
def test_logs_of_leaders_are_consistent(code: UserCode, script: Script, data: st.DataObject) -> None:
    report = audited(evaluated_log(script, data).entries, code)
    assert violations(report) == []
    # Entries that a leader wrote itself and that cause nothing are evaluated without a record.
    waiting = report.outcomes.get("not yet evaluated", 0)
    assert sum(report.outcomes.values()) == report.checked.get("entries × triggers", 0) + waiting
    assert not waiting or report.evaluated_upto < report.upto


@settings(max_examples=60, deadline=None)
@given(script=scripts(max_size=30), data=st.data())
def test_a_missing_output_is_a_violation(script: Script, data: st.DataObject) -> None:
    entries = evaluated_log(script, data).entries
    outputs = (TriggerFired, TriggerRejected, ChainEnded, FilterFailed)
    places = [place for place, one in valid_entries(entries, track_keys=True) if isinstance(one, outputs)]
    if places:
        lost = data.draw(st.sampled_from(places))
        assert violations(audited([item for item in entries if item[0] != lost], SameCode()))
