-- From version 1 to 2: runs and jobs can be cancelled, and a finished run can be found by its key.

ALTER TABLE runs ADD COLUMN cancelled_at INTEGER;
ALTER TABLE jobs ADD COLUMN withdrawn INTEGER NOT NULL DEFAULT 0;
DROP INDEX runs_key;
CREATE INDEX runs_key ON runs (tenant, idempotency_key) WHERE idempotency_key IS NOT NULL;
