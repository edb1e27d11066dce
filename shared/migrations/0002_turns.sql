-- Tenants' turns. A tenant whose clock is ahead of its line's waits until the others have had as much, by
-- weight: see shared/src/rules/fair. Rows only of tenants that have work where others have some too.

CREATE TABLE turns (
    kind     text COLLATE "C" NOT NULL,
    upstream text COLLATE "C" NOT NULL,        -- '' for none
    tenant   text NOT NULL,
    ahead    bigint NOT NULL,
    run      bigint NOT NULL,                  -- whose turn was last, of the tenant's
    PRIMARY KEY (kind, upstream, tenant)
) WITH (fillfactor = 50);

-- Who may have work, whatever the history.
CREATE INDEX runs_unfinished ON runs (tenant, n) WHERE state < 2;
