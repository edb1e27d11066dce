-- Who reads the input of a run says so now and then. A run whose reader is gone is ended by a sweep.

ALTER TABLE runs ADD COLUMN read_at timestamptz;                     -- when its reader was heard of last
ALTER TABLE runs ADD COLUMN if_left smallint NOT NULL DEFAULT 0;     -- without one it is 0: sealed, 1: cancelled

CREATE INDEX runs_open ON runs (n) WHERE state = 0;
