-- A run that is opened, filled and sealed in one statement may be complete at once: all its jobs have results.

CREATE TRIGGER runs_finish_at_once BEFORE INSERT ON runs FOR EACH ROW
    WHEN (NEW.state = 1 AND NEW.jobs > 0 AND NEW.succeeded + NEW.dead + NEW.cancelled = NEW.jobs)
    EXECUTE FUNCTION run_finishes();
