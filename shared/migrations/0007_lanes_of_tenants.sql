-- A line's tenants, and a tenant's lanes of it, are found by the index from the line itself, whatever else they have.
ALTER TABLE queue ADD COLUMN tenant text COLLATE "C";

DROP INDEX queue_ready;

UPDATE queue SET tenant = (SELECT tenant FROM runs WHERE n = queue.run);

ALTER TABLE queue ALTER COLUMN tenant SET NOT NULL;

-- A ready job is found in the same time however long the backlog is.
CREATE INDEX queue_ready ON queue (kind, upstream, tenant, run, priority DESC, run_at, n) WHERE state = 0;
