-- From version 2 to 3: tenants share a line by their weights.

CREATE INDEX runs_unfinished ON runs (tenant) WHERE state < 2;
CREATE TABLE turns (
    kind     TEXT NOT NULL,
    upstream TEXT NOT NULL,
    tenant   TEXT NOT NULL,
    ahead    INTEGER NOT NULL,
    run      INTEGER NOT NULL,
    PRIMARY KEY (kind, upstream, tenant)
) STRICT, WITHOUT ROWID;
