//! A disk that fills up under the ledger.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use fleetline_shared::domain::{Decision, Envelope, JobState, NewJob, PortError};
use fleetline_shared::ports::{Finish, Finished};
use fleetline_tests::conformance::ledger::prelude::{
    TENANT, add, check_counters, done, finish_of, job, open as open_run, raw, rows, take,
};
use tempfile::TempDir;

use super::open;

/// A disk of a few megabytes.
struct SmallDisk {
    folder: TempDir,
}

impl SmallDisk {
    /// `None` where mounting is not allowed.
    fn mount() -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let mount =
            Command::new("mount").args(["-t", "tmpfs", "-o", "size=4m", "tmpfs"]).arg(folder.path()).output();
        match mount {
            Ok(output) if output.status.success() => Some(Self { folder }),
            refused => {
                eprintln!("skipped: a small disk cannot be mounted: {refused:?}");
                None
            }
        }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Takes all the space that is left.
    fn fill(&self) -> PathBuf {
        let ballast = self.path().join("ballast");
        let mut file = fs::File::create(&ballast).unwrap();
        while std::io::Write::write_all(&mut file, &[1; 512]).is_ok() {}
        ballast
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: the ledger's thread may be about to close its file.
        let _ = Command::new("umount").arg("-l").arg(self.folder.path()).output();
    }
}

fn large_job(seq: u64) -> NewJob {
    let text = "x".repeat(20_000);
    NewJob { args: raw(&format!(r#"{{"seq":{seq},"text":"{text}"}}"#)), ..job(seq, &format!("a-{seq}")) }
}

fn large_success(envelope: &Envelope) -> Finish {
    let mut done = done("");
    done.output = raw(&format!("\"{}\"", "y".repeat(300_000)));
    finish_of(envelope, Decision::Succeed(done))
}

fn assert_says_full(error: &PortError) {
    assert!(matches!(error, PortError::Broken { .. }), "{error:?}");
    assert!(error.to_string().contains("disk is full: free some space"), "{error}");
}

#[tokio::test]
async fn with_space_again_the_same_ledger_goes_on() {
    let Some(disk) = SmallDisk::mount() else { return };
    let path = disk.path().join("ledger.db");
    let ledger = open(&path);
    let run = open_run(&ledger, TENANT).await;
    add(&ledger, run, vec![large_job(1), large_job(2)]).await;
    let taken = take(&ledger, 2).await;

    let ballast = disk.fill();
    let mut acknowledged = 2;
    let full = loop {
        match ledger.add_jobs(run, vec![large_job(acknowledged + 1)]).await {
            Ok(_) => acknowledged += 1,
            Err(error) => break error,
        }
    };
    assert_says_full(&full);
    // Not "refused": then the paid result would be thrown away.
    assert_says_full(&ledger.finish(taken.iter().map(large_success).collect()).await.unwrap_err());
    check_counters(&ledger).await;
    assert_eq!(rows(&ledger, run).await.len() as u64, acknowledged);

    fs::remove_file(ballast).unwrap();
    let answers = ledger.finish(taken.iter().map(large_success).collect()).await.unwrap();
    assert_eq!(answers, [Finished::Recorded, Finished::Recorded]);
    add(&ledger, run, vec![large_job(acknowledged + 1)]).await;
    check_counters(&ledger).await;

    drop(ledger);
    let reopened = open(&path);
    let rows = rows(&reopened, run).await;
    assert_eq!(rows.len() as u64, acknowledged + 1);
    assert_eq!(rows.iter().filter(|row| row.state == JobState::Succeeded).count(), 2);
    let connection = rusqlite::Connection::open(&path).unwrap();
    let intact: String = connection.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
    assert_eq!(intact, "ok");
}
