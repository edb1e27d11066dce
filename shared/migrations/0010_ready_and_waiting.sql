-- Jobs that were put back for later are in no lane until they are due: however many runs have nothing else, whoever
-- looks for lanes does not come across them. The indexes on `waits` tell when they are.
DROP INDEX queue_ready;

CREATE INDEX queue_ready ON queue (kind, upstream, tenant, run, priority DESC, run_at, n) WHERE state = 0 AND NOT waits;
