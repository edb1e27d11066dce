-- A deadline passes though nobody may hand the job out: the sweeper finds it.
CREATE INDEX queue_deadline ON queue (deadline) WHERE state = 0 AND deadline IS NOT NULL;
