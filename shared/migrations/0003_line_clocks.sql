-- A tenant's clock stands for itself now, and the line it shares has one of its own: a dispatch writes the
-- clocks of those it serves, however many others have work. What a tenant was ahead of its line is the same
-- number while the line's clock is 0.

ALTER TABLE turns RENAME COLUMN ahead TO clock;

CREATE TABLE lines (
    kind     text COLLATE "C" NOT NULL,
    upstream text COLLATE "C" NOT NULL,        -- '' for none
    clock    bigint NOT NULL,
    PRIMARY KEY (kind, upstream)
) WITH (fillfactor = 50);
