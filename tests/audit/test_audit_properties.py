"""The audit against the matcher: whatever leaders record of any log balances, and nothing of it can be left out."""

import asyncio
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tests.audit.list_log import ListLog
from tests.core.leading import Checkpoint, Leader
from tests.core.oracle import valid_entries
from tests.core.recorded_log import Log
from tests.core.strategies import CALLABLES, LIMITS, Script, apply, scripts
from trigger_engine.audit import AuditLimits, AuditReport, UserCode, audit
from trigger_engine.entries.facts import ChainEnded, FilterFailed, TriggerFired, TriggerRejected

AUDIT_LIMITS = AuditLimits(
    max_chain_length=LIMITS.max_chain_length,
    max_contributions=LIMITS.max_contributions,
    max_contribution_bytes=LIMITS.max_contribution_bytes,
)
# The scripts make up the ids of what users and workers write, and let keys run out.
MADE_UP = {"derived ids", "unique ids", "invocations"}


class SameCode(UserCode):
    """The functions of the scripts, whose declarations say "1" instead of a hash."""

    def __init__(self) -> None:
        super().__init__(CALLABLES)
        self._hashes = dict.fromkeys(CALLABLES, "1")


def audited(entries: list[Any], code: UserCode) -> AuditReport:
    return asyncio.run(audit(ListLog(entries, refuses_void=False), code=code, limits=AUDIT_LIMITS))


def off(report: AuditReport) -> list[Any]:
    assert sum(report.offence_counts.values()) == len(report.offences)
    return [offence for offence in report.offences if offence.check not in MADE_UP]


def led(script: Script, data: st.DataObject) -> Log:
    """The log of a script that leaders have judged who came and went."""
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
                parts = leader.judge()
                former, leader = leader, Leader(log, LIMITS, script.first, checkpoint, reads_first=True)
                former.append(parts)
            case _:
                pass
    leader.finish()
    ids = [entry.id for _, entry in valid_entries(log.entries, track_keys=True)]
    assume(len(set(ids)) == len(ids))  # A key that is used anew after retention: what is recorded names both uses.
    return log


@pytest.mark.parametrize("code", [SameCode(), UserCode({})], ids=["code", "no code"])
@settings(max_examples=60, deadline=None)
@given(script=scripts(max_size=30), data=st.data())
def test_what_leaders_record_balances(code: UserCode, script: Script, data: st.DataObject) -> None:
    report = audited(led(script, data).entries, code)
    assert off(report) == []
    # What a leader wrote itself, and nothing follows from, is judged without a record.
    waiting = report.outcomes.get("not yet judged", 0)
    assert sum(report.outcomes.values()) == report.checked.get("entries × triggers", 0) + waiting
    assert not waiting or report.judged_upto < report.upto


@settings(max_examples=60, deadline=None)
@given(script=scripts(max_size=30), data=st.data())
def test_nothing_that_leaders_record_can_be_left_out(script: Script, data: st.DataObject) -> None:
    entries = led(script, data).entries
    outputs = (TriggerFired, TriggerRejected, ChainEnded, FilterFailed)
    places = [place for place, one in valid_entries(entries, track_keys=True) if isinstance(one, outputs)]
    if places:
        lost = data.draw(st.sampled_from(places))
        assert off(audited([item for item in entries if item[0] != lost], SameCode()))
