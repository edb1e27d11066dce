-- A run is cancelled in several transactions. Whoever does it may die in between: a sweep goes on with what is marked.

ALTER TABLE runs ADD COLUMN cancelling boolean NOT NULL DEFAULT false;

CREATE INDEX runs_cancelling ON runs (n) WHERE cancelling;
