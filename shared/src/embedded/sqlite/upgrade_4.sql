-- From version 3 to 4: a deadline passes though nobody may hand the job out.

CREATE INDEX jobs_deadline ON jobs (deadline) WHERE state = 0 AND deadline IS NOT NULL;
