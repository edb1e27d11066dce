-- The ledger. States and reasons are numbers: see shared/src/postgres/codes.rs; the view
-- job_states has them as words.
--
-- A job is written once to `jobs`. While it lives it has a row in `queue`, which is narrow and
-- deleted at its end, so that what is hot is as small as the backlog. At its end it gets a row in
-- `endings`, which is written once. `dedup` says for each key which job is live and which result
-- is current; whoever starts or ends a live job holds its row.

CREATE TABLE runs (
    n               bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id              uuid NOT NULL UNIQUE,
    tenant          text NOT NULL,
    pipeline        text NOT NULL,
    input           text NOT NULL,
    idempotency_key text,
    settings        text NOT NULL,
    notes           text NOT NULL DEFAULT 'null',
    state           smallint NOT NULL DEFAULT 0,
    cancelled_at    timestamptz,               -- it takes no more jobs
    jobs            bigint NOT NULL DEFAULT 0,
    occurrences     bigint NOT NULL DEFAULT 0,
    succeeded       bigint NOT NULL DEFAULT 0,
    reused          bigint NOT NULL DEFAULT 0,
    dead            bigint NOT NULL DEFAULT 0,
    cancelled       bigint NOT NULL DEFAULT 0,
    retries         bigint NOT NULL DEFAULT 0,
    calls           bigint NOT NULL DEFAULT 0,
    input_tokens    bigint NOT NULL DEFAULT 0,
    output_tokens   bigint NOT NULL DEFAULT 0,
    created_at      timestamptz NOT NULL DEFAULT now(),
    finished_at     timestamptz,
    CHECK (succeeded + dead + cancelled <= jobs)
) WITH (fillfactor = 50);  -- counters are rewritten in place

CREATE INDEX runs_key ON runs (tenant, idempotency_key, n) WHERE idempotency_key IS NOT NULL;
CREATE INDEX runs_tenant ON runs (tenant, n);

-- Numbers of jobs: the order of listings. A job's id carries its number, so there is no index on ids.
CREATE SEQUENCE job_numbers;

CREATE TABLE jobs (
    n            bigint PRIMARY KEY,
    run          bigint NOT NULL,
    seq          bigint,
    id           uuid NOT NULL,
    est_input    bigint NOT NULL,
    est_output   bigint NOT NULL,
    occurrences  bigint NOT NULL,
    deadline_ms  bigint,
    fresh_ms     bigint,
    created_at   timestamptz NOT NULL DEFAULT now(),
    priority     smallint NOT NULL,
    max_attempts integer NOT NULL,
    kind         text COLLATE "C" NOT NULL,
    upstream     text COLLATE "C" NOT NULL,    -- '' for none
    dedup_key    bytea NOT NULL,
    source       text NOT NULL,
    args         text NOT NULL
);

CREATE UNIQUE INDEX jobs_seq ON jobs (run, seq) WHERE seq IS NOT NULL;
CREATE INDEX jobs_run ON jobs (run, n);

-- The jobs that are not terminal.
CREATE TABLE queue (
    n             bigint PRIMARY KEY,
    id            uuid NOT NULL,
    run           bigint NOT NULL,
    key           uuid NOT NULL,               -- in dedup
    fence         bigint NOT NULL DEFAULT 0,
    settled_fence bigint NOT NULL DEFAULT 0,   -- the last fence whose finish put it back
    run_at        timestamptz NOT NULL DEFAULT now(),
    deadline      timestamptz,
    dispatched_at timestamptz,
    fresh_ms      bigint,
    twin          bigint,                      -- the live job it is attached to
    calls         bigint NOT NULL DEFAULT 0,
    input_tokens  bigint NOT NULL DEFAULT 0,
    output_tokens bigint NOT NULL DEFAULT 0,
    attempts      integer NOT NULL DEFAULT 0,
    losses        integer NOT NULL DEFAULT 0,
    state         smallint NOT NULL,
    priority      smallint NOT NULL,
    withdrawn     boolean NOT NULL DEFAULT false, -- cancelled while it was handed out
    elsewhere     boolean NOT NULL DEFAULT false, -- its twin is of another run
    waits         boolean NOT NULL DEFAULT false, -- put back for later
    kind          text COLLATE "C" NOT NULL,
    upstream      text COLLATE "C" NOT NULL,
    error         text
) WITH (
    autovacuum_vacuum_threshold = 5000, autovacuum_vacuum_scale_factor = 0.02,
    autovacuum_vacuum_insert_threshold = -1, autovacuum_analyze_scale_factor = 0.5,
    autovacuum_vacuum_cost_delay = 0
);

-- A ready job is found in the same time however long the backlog is.
CREATE INDEX queue_ready ON queue (kind, upstream, run, priority DESC, run_at, n) WHERE state = 0;
CREATE INDEX queue_dispatched ON queue (dispatched_at) WHERE state = 1;
CREATE INDEX queue_attached ON queue (twin, n) WHERE state = 2;
CREATE INDEX queue_elsewhere ON queue (run, twin) WHERE state = 2 AND elsewhere;
CREATE INDEX queue_due ON queue (run_at) WHERE state = 0 AND waits;
CREATE INDEX queue_due_of_run ON queue (run, run_at) WHERE state = 0 AND waits;

-- How each job ended; the row of one that succeeded by its own attempt is its result.
CREATE TABLE endings (
    n             bigint PRIMARY KEY,
    run           bigint NOT NULL,
    result        bigint,                      -- the job whose attempt made the result
    fence         bigint NOT NULL,             -- the dispatch that ended it
    calls         bigint NOT NULL,
    input_tokens  bigint NOT NULL,
    output_tokens bigint NOT NULL,
    redriven_as   bigint,                      -- the run a dead job was sent again in
    finished_at   timestamptz NOT NULL DEFAULT now(),
    attempts      integer NOT NULL,
    state         smallint NOT NULL,
    dead_reason   smallint,
    analyser      text,
    model         text,
    error         text,
    output        text
);

CREATE INDEX endings_dead ON endings (n) WHERE state = 4;
CREATE INDEX endings_dead_of_run ON endings (run, n) WHERE state = 4;

-- One row for each (tenant, kind, dedup key), by the first 128 bits of their BLAKE3.
CREATE TABLE dedup (
    key         uuid PRIMARY KEY,
    live        bigint,                        -- the job that is ready or dispatched
    live_run    bigint,
    result      bigint,                        -- the job whose result is current
    fresh_until timestamptz,
    waiting     boolean NOT NULL DEFAULT false -- jobs may be attached to the live one
) WITH (fillfactor = 80);

CREATE TABLE facts (
    result bigint NOT NULL,
    i      integer NOT NULL,
    data   json NOT NULL,
    PRIMARY KEY (result, i)
);

-- Failed attempts, for people.
CREATE TABLE attempts (
    job   bigint NOT NULL,
    fence bigint NOT NULL,
    at    timestamptz NOT NULL DEFAULT now(),
    error text NOT NULL,
    PRIMARY KEY (job, fence)
);

-- Events, written with what they tell of and deleted when they are published.
CREATE TABLE outbox (
    position      bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id            uuid NOT NULL UNIQUE DEFAULT gen_random_uuid(),
    topic         text NOT NULL,
    tenant        text NOT NULL,
    at            timestamptz NOT NULL DEFAULT now(),
    claimed_until timestamptz NOT NULL DEFAULT '-infinity',
    body          json NOT NULL
);

CREATE TABLE api_keys (
    id         uuid PRIMARY KEY,
    hash       bytea NOT NULL UNIQUE,
    tenant     text NOT NULL,
    role       text NOT NULL,
    label      text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    revoked_at timestamptz
);

-- A run is finished when it is sealed and all its jobs are terminal. Here, so that no statement
-- that counts can forget it, nor its event.
CREATE FUNCTION run_finishes() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.state := 2;
    NEW.finished_at := now();
    INSERT INTO outbox (topic, tenant, body) VALUES ('run.finished', NEW.tenant, json_build_object(
        'run_id', NEW.id, 'pipeline', NEW.pipeline, 'input', NEW.input,
        'counts', json_build_object(
            'jobs', NEW.jobs, 'occurrences', NEW.occurrences, 'succeeded', NEW.succeeded,
            'reused', NEW.reused, 'dead', NEW.dead, 'cancelled', NEW.cancelled, 'retries', NEW.retries,
            'usage', json_build_object(
                'calls', NEW.calls, 'input_tokens', NEW.input_tokens, 'output_tokens', NEW.output_tokens))));
    RETURN NEW;
END $$;

CREATE TRIGGER runs_finish BEFORE UPDATE ON runs FOR EACH ROW
    WHEN (NEW.state = 1 AND NEW.succeeded + NEW.dead + NEW.cancelled = NEW.jobs)
    EXECUTE FUNCTION run_finishes();

-- For people, dashboards and checks.
CREATE VIEW job_states AS
SELECT j.n, j.id AS job_id, r.id AS run_id, r.tenant, j.kind, encode(j.dedup_key, 'hex') AS dedup_key,
    (ARRAY['ready', 'dispatched', 'attached', 'succeeded', 'dead', 'cancelled'])[coalesce(e.state, q.state) + 1]
        AS state,
    coalesce(e.result <> e.n, false) AS reused, e.result, coalesce(e.attempts, q.attempts) AS attempts,
    (ARRAY['exhausted', 'permanent', 'bad_payload', 'deadline_passed', 'crash_loop'])[e.dead_reason + 1]
        AS dead_reason,
    coalesce(e.error, q.error) AS error, j.created_at, e.finished_at
FROM jobs j JOIN runs r ON r.n = j.run LEFT JOIN queue q ON q.n = j.n LEFT JOIN endings e ON e.n = j.n;

-- One row for each result that was paid for.
CREATE VIEW results AS
SELECT e.n, j.id AS job_id, r.tenant, j.kind, encode(j.dedup_key, 'hex') AS dedup_key, e.output, e.analyser,
    e.model, e.finished_at AS created_at, j.fresh_ms
FROM endings e JOIN jobs j ON j.n = e.n JOIN runs r ON r.n = j.run WHERE e.result = e.n;
