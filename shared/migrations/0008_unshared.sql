-- Jobs that have ended, but not all that were attached to them have got their share: they get it in several
-- transactions. Whoever does it may die in between: a sweep goes on with what stands here.

CREATE TABLE unshared (
    twin bigint PRIMARY KEY,                   -- the job that has ended
    key  uuid NOT NULL,                        -- in dedup
    at   timestamptz NOT NULL DEFAULT now()    -- of the last round
);
