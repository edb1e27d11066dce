//! Which files it opens, and what it says of the others.

use std::fs;
use std::path::Path;
use std::time::Duration;

use fleetline_shared::domain::{JobState, NewRun, PortError, RunId};
use fleetline_shared::embedded::SqliteLedger;
use fleetline_shared::ports::{CancelJobs, QueryLedger, Scope, SubmitLedger};
use fleetline_tests::conformance::ledger::prelude::{
    TENANT, add, check_counters, finish_of, job, jobs, new_run, record, rows, snooze, states, success, take,
};

use super::{execute, open};

fn refusal(path: &Path) -> String {
    let error = SqliteLedger::open(path).err().expect("this is no ledger");
    assert!(error.to_string().contains(path.to_str().unwrap()), "the path is named: {error}");
    error.to_string()
}

#[tokio::test]
async fn what_was_recorded_is_there_after_reopening() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.db");
    let keyed = NewRun { idempotency_key: Some("k".into()), ..new_run(TENANT) };
    let (run, taken, before) = {
        let ledger = open(&path);
        let run = ledger.open_run(keyed.clone()).await.unwrap().id;
        add(&ledger, run, vec![job(1, "a"), job(2, "b"), job(3, "b"), job(4, "c")]).await;
        let taken = take(&ledger, 2).await;
        record(&ledger, &taken[0], success("kept")).await;
        (run, taken, format!("{:?}", rows(&ledger, run).await))
    };
    let ledger = open(&path);
    assert_eq!(format!("{:?}", rows(&ledger, run).await), before);
    let again = ledger.open_run(NewRun { id: RunId::new(), ..keyed }).await.unwrap();
    assert_eq!((again.id, again.resumed), (run, true));

    ledger.sweep(Scope::All, Duration::ZERO, 3).await.unwrap();
    let next = take(&ledger, 10).await;
    let late = ledger.finish(vec![finish_of(&taken[1], success("late"))]).await.unwrap();
    assert_eq!(late, [fleetline_shared::ports::Finished::Stale]);
    assert_eq!(next.iter().map(|envelope| envelope.fence).max(), Some(taken[1].fence + 1));
    for envelope in next {
        record(&ledger, &envelope, success("after")).await;
    }
    assert_eq!(states(&ledger, run).await, [JobState::Succeeded; 4]);
}

#[test]
fn another_programs_database_is_left_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("photos.db");
    execute(&path, "CREATE TABLE photos (n INTEGER); INSERT INTO photos VALUES (1);");
    let before = fs::read(&path).unwrap();
    assert!(refusal(&path).contains("not Fleetline's"));
    assert_eq!(fs::read(&path).unwrap(), before);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing beside it");
}

#[test]
fn what_is_no_database_is_left_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("notes.txt");
    let text = "not a database, but long enough to have a header. ".repeat(100);
    fs::write(&path, &text).unwrap();
    assert!(refusal(&path).contains("no SQLite file"));
    assert_eq!(fs::read_to_string(&path).unwrap(), text);
}

#[test]
fn a_newer_schema_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.db");
    drop(open(&path));
    execute(&path, "PRAGMA user_version = 9;");
    let message = refusal(&path);
    assert!(message.contains("schema version 9") && message.contains("reads 5"), "{message}");
}

#[tokio::test]
async fn an_older_schema_is_brought_up_to_date() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.db");
    let ledger = open(&path);
    let run = ledger.open_run(new_run(TENANT)).await.unwrap().id;
    add(&ledger, run, jobs("a", 1, 3)).await;
    drop(ledger);
    execute(
        &path,
        "DROP TABLE turns; DROP INDEX jobs_deadline; DROP INDEX runs_unfinished; ALTER TABLE runs DROP COLUMN cancelled_at;
         ALTER TABLE runs DROP COLUMN read_at; ALTER TABLE runs DROP COLUMN if_left; ALTER TABLE jobs DROP COLUMN withdrawn;
         DROP INDEX runs_key; CREATE INDEX runs_key ON runs (tenant, idempotency_key) WHERE state < 2;
         PRAGMA user_version = 1;",
    );
    let looked_at = SqliteLedger::open_read_only(&path).err().expect("a reader changes nothing");
    assert!(looked_at.to_string().contains("brings it up to date"), "{looked_at}");
    let ledger = open(&path);
    assert_eq!(ledger.run(run).await.unwrap().unwrap().counts.jobs, 3);
    assert_eq!(ledger.cancel(TENANT, CancelJobs::Run(run)).await.unwrap().cancelled, 3);
}

#[test]
fn a_place_that_takes_no_file_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let places =
        [folder.path().join("missing/ledger.db"), folder.path().to_owned(), "/proc/ledger.db".into()];
    for path in places {
        let message = refusal(&path);
        assert!(message.contains("cannot be opened: check"), "{message}");
    }
}

#[tokio::test]
async fn a_reader_looks_on_while_another_writes() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.db");
    let missing = SqliteLedger::open_read_only(&path).err().expect("there is nothing to read");
    assert!(missing.to_string().contains("no database at"), "{missing}");
    assert!(!path.exists());

    let writer = open(&path);
    let run = writer.open_run(new_run(TENANT)).await.unwrap().id;
    let reader = SqliteLedger::open_read_only(&path).unwrap();
    add(&writer, run, jobs("a", 1, 3)).await;
    assert_eq!(reader.run(run).await.unwrap().unwrap().counts.jobs, 3);
    let error = reader.add_jobs(run, jobs("b", 4, 4)).await.unwrap_err();
    assert!(matches!(error, PortError::Invalid { .. }), "{error:?}");
    assert!(error.to_string().contains("reading only"), "{error}");
}

/// A copy or a backup takes the one file that people know of.
#[tokio::test]
async fn a_closed_file_alone_has_everything() {
    let folder = tempfile::tempdir().unwrap();
    let (path, copy) = (folder.path().join("ledger.db"), folder.path().join("copy.db"));
    let ledger = SqliteLedger::open(&path).unwrap();
    // Somebody who looks on keeps the last close from doing it.
    let looking = SqliteLedger::open_read_only(&path).unwrap();
    let run = ledger.open_run(new_run(TENANT)).await.unwrap().id;
    ledger.add_jobs(run, jobs("a", 1, 3)).await.unwrap();
    assert_eq!(looking.run(run).await.unwrap().unwrap().counts.jobs, 3);
    let clone = ledger.clone();
    assert!(ledger.close(Duration::from_mins(1)));
    std::fs::copy(&path, &copy).unwrap();
    let copied = SqliteLedger::open_read_only(&copy).unwrap();
    assert_eq!(copied.run(run).await.unwrap().expect("it is in the file").counts.jobs, 3);
    assert!(clone.add_jobs(run, jobs("b", 4, 4)).await.is_err(), "it is closed for all");
    assert!(clone.run(run).await.is_err(), "it is closed for all");
    assert!(clone.close(Duration::ZERO), "it is closed already");
}

/// As two commands that are started together.
#[tokio::test(flavor = "multi_thread")]
async fn many_open_and_write_the_same_new_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.db");
    let mut tasks = tokio::task::JoinSet::new();
    for n in 0..4 {
        let path = path.clone();
        tasks.spawn(async move {
            let ledger = open(&path);
            let run = ledger.open_run(new_run(TENANT)).await.unwrap().id;
            for seq in 1..=20 {
                add(&ledger, run, vec![job(seq, &format!("key {seq}"))]).await;
            }
            for envelope in take(&ledger, 5).await {
                let back = finish_of(&envelope, snooze(Duration::ZERO));
                ledger.finish(vec![back]).await.unwrap();
            }
            n
        });
    }
    assert_eq!(tasks.join_all().await.len(), 4);
    let ledger = open(&path);
    check_counters(&ledger).await;
    assert_eq!(take(&ledger, 100).await.len(), 20, "one of each key");
}
