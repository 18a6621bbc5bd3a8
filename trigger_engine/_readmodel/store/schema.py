"""The tables of the read model. Raise SCHEMA_VERSION with every change; files of other versions are rebuilt."""

from __future__ import annotations

SCHEMA_VERSION = 3

TABLES = """
CREATE TABLE progress (
    log_id TEXT PRIMARY KEY, position INTEGER NOT NULL, entry_id TEXT NOT NULL, gap_at INTEGER NOT NULL,
    highest_term INTEGER NOT NULL, folded INTEGER NOT NULL, evaluated_upto INTEGER NOT NULL,
    last_evaluated TEXT NOT NULL, declarations BLOB NOT NULL, emptied BLOB NOT NULL
);
CREATE TABLE elected (name TEXT PRIMARY KEY, position INTEGER NOT NULL, time INTEGER NOT NULL, runner_id TEXT NOT NULL);

CREATE TABLE events (
    position INTEGER PRIMARY KEY, event_id TEXT NOT NULL, event_code TEXT NOT NULL, time INTEGER NOT NULL,
    outcome INTEGER NOT NULL, emitter_task_id TEXT, emitter_invocation_id TEXT, depth INTEGER NOT NULL,
    keyed INTEGER NOT NULL, payload BLOB NOT NULL, search TEXT NOT NULL
);
CREATE UNIQUE INDEX events_by_id ON events (event_id);
CREATE INDEX events_by_code ON events (event_code, outcome, position);
CREATE INDEX events_by_outcome ON events (outcome, position);
CREATE INDEX events_by_task ON events (emitter_task_id, position) WHERE emitter_task_id IS NOT NULL;
CREATE INDEX events_by_emitter ON events (emitter_invocation_id, position) WHERE emitter_invocation_id IS NOT NULL;

CREATE TABLE ticks (
    position INTEGER PRIMARY KEY, entry_id TEXT NOT NULL UNIQUE, condition_id TEXT NOT NULL, time INTEGER NOT NULL,
    scheduled_for INTEGER NOT NULL
);
CREATE TABLE used_keys (entry_id TEXT PRIMARY KEY, time INTEGER NOT NULL) WITHOUT ROWID;

CREATE TABLE invocations (
    position INTEGER PRIMARY KEY, invocation_id TEXT NOT NULL, task_id TEXT NOT NULL, status TEXT NOT NULL,
    attempt INTEGER NOT NULL, claim_id TEXT NOT NULL, runner_id TEXT, recoveries INTEGER NOT NULL, not_before REAL,
    changed_at INTEGER NOT NULL, changed_time INTEGER NOT NULL, result BLOB, exception BLOB, queue TEXT, time INTEGER,
    arguments BLOB NOT NULL, keyed INTEGER NOT NULL, trigger_run_id TEXT, trigger_id TEXT, parent_invocation_id TEXT,
    rerun_of TEXT, depth INTEGER NOT NULL
);
CREATE UNIQUE INDEX invocations_by_id ON invocations (invocation_id);
CREATE INDEX invocations_by_status ON invocations (status, position);
CREATE INDEX invocations_by_task ON invocations (task_id, status, position);
CREATE INDEX invocations_by_parent ON invocations (parent_invocation_id, position)
    WHERE parent_invocation_id IS NOT NULL;
CREATE INDEX invocations_by_original ON invocations (rerun_of, position) WHERE rerun_of IS NOT NULL;

CREATE TABLE statuses (
    invocation_position INTEGER NOT NULL, position INTEGER NOT NULL, entry_id TEXT NOT NULL, came_from TEXT NOT NULL,
    status TEXT NOT NULL, time INTEGER NOT NULL, runner_id TEXT, attempt INTEGER NOT NULL, exception BLOB,
    PRIMARY KEY (invocation_position, position)
) WITHOUT ROWID;
CREATE UNIQUE INDEX statuses_by_id ON statuses (entry_id);
CREATE INDEX statuses_by_position ON statuses (position);

CREATE TABLE runs (
    position INTEGER PRIMARY KEY, run_id TEXT NOT NULL, trigger_id TEXT NOT NULL, slot TEXT NOT NULL,
    task_id TEXT NOT NULL, time INTEGER NOT NULL, rejected INTEGER NOT NULL, invocation_id TEXT, error TEXT,
    dropped INTEGER NOT NULL, depth INTEGER NOT NULL
);
CREATE UNIQUE INDEX runs_by_id ON runs (run_id);
CREATE INDEX runs_by_trigger ON runs (trigger_id, rejected, position);
CREATE INDEX runs_by_rejected ON runs (rejected, position);

CREATE TABLE participants (
    run_position INTEGER NOT NULL, ordinal INTEGER NOT NULL, condition_id TEXT NOT NULL, entry_id TEXT NOT NULL,
    kind TEXT NOT NULL, time INTEGER, event_code TEXT, source_invocation_id TEXT, status TEXT, scheduled_for INTEGER,
    PRIMARY KEY (run_position, ordinal)
) WITHOUT ROWID;
CREATE INDEX participants_by_entry ON participants (entry_id, run_position);
CREATE INDEX participants_by_source ON participants (source_invocation_id, run_position)
    WHERE source_invocation_id IS NOT NULL;

CREATE TABLE kept (
    trigger_id TEXT NOT NULL, condition_id TEXT NOT NULL, entry_id TEXT NOT NULL, position INTEGER NOT NULL,
    invocation_id TEXT, settled_at INTEGER, waiting INTEGER NOT NULL,
    PRIMARY KEY (trigger_id, condition_id, entry_id)
) WITHOUT ROWID;
CREATE INDEX kept_by_entry ON kept (entry_id);
CREATE INDEX kept_waiting ON kept (trigger_id, condition_id, settled_at) WHERE waiting;

CREATE TABLE triggers (
    trigger_id TEXT PRIMARY KEY, slot TEXT NOT NULL, position INTEGER NOT NULL, declared_time INTEGER NOT NULL,
    state TEXT NOT NULL, state_position INTEGER NOT NULL, state_time INTEGER NOT NULL, runs INTEGER NOT NULL,
    rejected INTEGER NOT NULL, last_fired INTEGER, last_run_id TEXT, definition BLOB NOT NULL
);
CREATE TABLE listening (
    event_code TEXT NOT NULL, condition_id TEXT NOT NULL, trigger_id TEXT NOT NULL, started INTEGER NOT NULL,
    stopped INTEGER
);
CREATE INDEX listening_by_code ON listening (event_code, started);
CREATE INDEX listening_by_trigger ON listening (trigger_id, stopped);

CREATE TABLE notices (
    position INTEGER PRIMARY KEY, entry_id TEXT NOT NULL UNIQUE, kind TEXT NOT NULL, time INTEGER NOT NULL,
    text TEXT NOT NULL, trigger_id TEXT, condition_id TEXT, subject_id TEXT
);
CREATE INDEX notices_by_kind ON notices (kind, position);
CREATE INDEX notices_by_trigger ON notices (trigger_id, position) WHERE trigger_id IS NOT NULL;
CREATE INDEX notices_by_subject ON notices (subject_id) WHERE subject_id IS NOT NULL;

CREATE TABLE void (
    position INTEGER PRIMARY KEY, entry_id TEXT NOT NULL, kind TEXT NOT NULL, time INTEGER NOT NULL,
    reason TEXT NOT NULL, entry BLOB NOT NULL
);
CREATE INDEX void_by_id ON void (entry_id);

CREATE TABLE tallies (
    kind TEXT NOT NULL, value NOT NULL, count INTEGER NOT NULL, PRIMARY KEY (kind, value)
) WITHOUT ROWID;
CREATE TABLE totals (kind TEXT PRIMARY KEY, count INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE blocks (
    block INTEGER PRIMARY KEY, first_position INTEGER NOT NULL, last_position INTEGER NOT NULL,
    min_time INTEGER NOT NULL, max_time INTEGER NOT NULL
);
CREATE TABLE activity (
    minute INTEGER NOT NULL, kind TEXT NOT NULL, count INTEGER NOT NULL, last_position INTEGER NOT NULL,
    PRIMARY KEY (minute, kind)
) WITHOUT ROWID;
"""
"""`tallies` counts rows: events by outcome, runs by rejected, invocations by status, and void entries.

`totals` counts the entries read, by kind; the counts never decrease.

`blocks` has the time range of each block of entries. It maps a time range to a range of positions.
"""
