"""What leaders note, as rows with a text for people."""

from __future__ import annotations

from trigger_engine.entries.facts import (
    AnyEntry,
    BacklogExceeded,
    ChainEnded,
    FilterFailed,
    LeaderElected,
    Position,
    RetentionApplied,
    TriggerResumed,
    TriggerRetired,
    TriggersDeclared,
    TriggerSuspended,
)
from trigger_engine.history.rows import NoticeRow, microseconds


def notice_of(position: Position, entry: AnyEntry) -> NoticeRow:
    """The notice of an entry. Raises TypeError for an entry that is none."""
    row = NoticeRow(position, entry.id, str(entry.__struct_config__.tag), microseconds(entry.time), "")
    match entry:
        case LeaderElected():
            row.text = f"runner:{entry.runner_id} leads ({entry.name}), term {position}"
        case TriggersDeclared():
            row.text = f"{len(entry.triggers)} triggers come into force"
        case TriggerSuspended():
            row.text, row.trigger_id = f"{entry.slot}: no live runner has its code", entry.trigger_id
        case TriggerResumed():
            row.text, row.trigger_id = f"{entry.slot}: a live runner has its code again", entry.trigger_id
        case TriggerRetired():
            row.text, row.trigger_id = f"{entry.slot}: no live runner had it for long", entry.trigger_id
        case FilterFailed():
            row.text = f"{entry.filter}: {entry.error}"
            row.condition_id, row.subject_id = entry.condition_id, entry.entry_id
        case ChainEnded():
            row.text = f"{entry.slot} does not fire: the chain is as long as max_chain_length allows"
            row.trigger_id, row.subject_id = entry.trigger_id, entry.entry_id
        case BacklogExceeded():
            row.text = f"{entry.waiting} invocations wait, more than max_backlog={entry.limit}"
        case RetentionApplied():
            row.text = f"entries before {entry.before} are let go"
        case _:
            raise TypeError(f"{type(entry).__name__} is no notice")
    return row
