-- Version 5. Times are milliseconds since 1970. States of jobs are numbers: see `codes.rs`.

CREATE TABLE runs (
    n               INTEGER PRIMARY KEY,
    id              BLOB NOT NULL UNIQUE,
    tenant          TEXT NOT NULL,
    pipeline        TEXT NOT NULL,
    input           TEXT NOT NULL,
    idempotency_key TEXT,
    settings        TEXT NOT NULL,
    notes           TEXT NOT NULL DEFAULT 'null',
    state           INTEGER NOT NULL DEFAULT 0,
    cancelled_at    INTEGER,                   -- it takes no more jobs
    read_at         INTEGER,                   -- when its reader was heard of last
    if_left         INTEGER NOT NULL DEFAULT 0,-- without one it is 0: sealed, 1: cancelled
    jobs            INTEGER NOT NULL DEFAULT 0,
    occurrences     INTEGER NOT NULL DEFAULT 0,
    succeeded       INTEGER NOT NULL DEFAULT 0,
    reused          INTEGER NOT NULL DEFAULT 0,
    dead            INTEGER NOT NULL DEFAULT 0,
    cancelled       INTEGER NOT NULL DEFAULT 0,
    retries         INTEGER NOT NULL DEFAULT 0,
    calls           INTEGER NOT NULL DEFAULT 0,
    input_tokens    INTEGER NOT NULL DEFAULT 0,
    output_tokens   INTEGER NOT NULL DEFAULT 0,
    created_at      INTEGER NOT NULL,
    finished_at     INTEGER
) STRICT;

-- The run of a key is looked up when a run opens.
CREATE INDEX runs_key ON runs (tenant, idempotency_key) WHERE idempotency_key IS NOT NULL;
-- Who may have work, whatever the history.
CREATE INDEX runs_unfinished ON runs (tenant) WHERE state < 2;

-- Tenants' turns: how far each is ahead of its line, where others have work too; see the rule `fair`.
CREATE TABLE turns (
    kind     TEXT NOT NULL,
    upstream TEXT NOT NULL,
    tenant   TEXT NOT NULL,
    ahead    INTEGER NOT NULL,
    run      INTEGER NOT NULL,                 -- whose turn was last, of the tenant's
    PRIMARY KEY (kind, upstream, tenant)
) STRICT, WITHOUT ROWID;

CREATE TABLE jobs (
    n              INTEGER PRIMARY KEY,
    id             BLOB NOT NULL UNIQUE,
    run            INTEGER NOT NULL REFERENCES runs (n),
    seq            INTEGER,
    tenant         TEXT NOT NULL,
    kind           TEXT NOT NULL,
    dedup_key      BLOB NOT NULL,
    priority       INTEGER NOT NULL,
    upstream       TEXT NOT NULL,             -- '' for none
    est_input      INTEGER NOT NULL,
    est_output     INTEGER NOT NULL,
    occurrences    INTEGER NOT NULL,
    state          INTEGER NOT NULL,
    fence          INTEGER NOT NULL DEFAULT 0,
    attempts       INTEGER NOT NULL DEFAULT 0,
    max_attempts   INTEGER NOT NULL,
    losses         INTEGER NOT NULL DEFAULT 0,
    run_at         INTEGER NOT NULL,
    deadline       INTEGER,
    fresh_for      INTEGER,
    dispatched_at  INTEGER,                   -- NULL once an outcome of that dispatch put it back
    withdrawn      INTEGER NOT NULL DEFAULT 0, -- cancelled while it was handed out
    twin           INTEGER,                   -- the live job it is attached to
    twin_elsewhere INTEGER NOT NULL DEFAULT 0,-- whether that twin is of another run
    result         INTEGER,
    reused         INTEGER NOT NULL DEFAULT 0,
    calls          INTEGER NOT NULL DEFAULT 0,
    input_tokens   INTEGER NOT NULL DEFAULT 0,
    output_tokens  INTEGER NOT NULL DEFAULT 0,
    error          TEXT,
    dead_reason    INTEGER,
    redriven_as    INTEGER,                   -- the run a dead job was sent again in
    created_at     INTEGER NOT NULL,
    finished_at    INTEGER
) STRICT;

CREATE INDEX jobs_run ON jobs (run);
CREATE UNIQUE INDEX jobs_seq ON jobs (run, seq) WHERE seq IS NOT NULL;
-- At most one live job per key: the others are attached to it. Said without the state, so that a
-- dispatch or a retry does not rewrite the index at a random place.
CREATE UNIQUE INDEX jobs_live ON jobs (tenant, kind, dedup_key) WHERE finished_at IS NULL AND twin IS NULL;
-- A ready job is found in the same time however long the backlog is.
CREATE INDEX jobs_ready ON jobs (kind, upstream, run, priority DESC, run_at, n) WHERE state = 0;
CREATE INDEX jobs_deadline ON jobs (deadline) WHERE state = 0 AND deadline IS NOT NULL;
CREATE INDEX jobs_dispatched ON jobs (dispatched_at) WHERE state = 1;
CREATE INDEX jobs_attached ON jobs (twin) WHERE state = 2;
CREATE INDEX jobs_elsewhere ON jobs (run, twin) WHERE state = 2 AND twin_elsewhere = 1;
CREATE INDEX jobs_dead ON jobs (n) WHERE state = 4;

-- Apart from the job's row, which is rewritten at every step.
CREATE TABLE job_inputs (
    job    INTEGER PRIMARY KEY REFERENCES jobs (n),
    args   TEXT NOT NULL,
    source TEXT NOT NULL
) STRICT;

CREATE TABLE results (
    n           INTEGER PRIMARY KEY,
    job         INTEGER NOT NULL REFERENCES jobs (n),
    tenant      TEXT NOT NULL,
    kind        TEXT NOT NULL,
    dedup_key   BLOB NOT NULL,
    output      TEXT NOT NULL,
    analyser    TEXT NOT NULL,
    model       TEXT,
    created_at  INTEGER NOT NULL,
    fresh_until INTEGER,
    current     INTEGER NOT NULL DEFAULT 1
) STRICT;

-- At most one result per tenant, kind, key and freshness.
CREATE UNIQUE INDEX results_current ON results (tenant, kind, dedup_key) WHERE current = 1;

CREATE TABLE facts (
    result INTEGER NOT NULL REFERENCES results (n),
    n      INTEGER NOT NULL,
    data   TEXT NOT NULL,
    PRIMARY KEY (result, n)
) STRICT, WITHOUT ROWID;

-- Failed attempts, for people.
CREATE TABLE attempts (
    job   INTEGER NOT NULL REFERENCES jobs (n),
    fence INTEGER NOT NULL,
    at    INTEGER NOT NULL,
    error TEXT NOT NULL,
    PRIMARY KEY (job, fence)
) STRICT, WITHOUT ROWID;
