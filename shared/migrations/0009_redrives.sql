-- A redrive goes in several transactions. Whoever does it may die in between: a sweep seals the run with what is in it.

CREATE TABLE redriving (
    run     bigint PRIMARY KEY,
    done_to bigint NOT NULL,                   -- the last dead job that is sent again
    last    bigint NOT NULL,                   -- the last that is to be
    jobs    bigint NOT NULL,                   -- so many are
    at      timestamptz NOT NULL DEFAULT now() -- of the last round
);
