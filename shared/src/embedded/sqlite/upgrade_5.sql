-- From version 4 to 5: who reads the input of a run says so.

ALTER TABLE runs ADD COLUMN read_at INTEGER;
ALTER TABLE runs ADD COLUMN if_left INTEGER NOT NULL DEFAULT 0;
