//! What is the `SQLite` ledger's own: its file, its groups, its disk.

mod disk_full;
mod groups;
mod opening;
mod throughput;

use std::path::Path;
use std::sync::Arc;

use fleetline_shared::embedded::SqliteLedger;
use fleetline_tests::conformance::ledger::Subject;

fn open(path: &Path) -> Subject {
    Arc::new(SqliteLedger::open(path).expect("the ledger opens"))
}

/// Another program's hand in the file.
fn execute(path: &Path, sql: &str) {
    let connection = rusqlite::Connection::open(path).expect("the file opens");
    connection.busy_timeout(std::time::Duration::from_secs(10)).expect("a timeout can be set");
    connection.execute_batch(sql).expect("the statements work");
}
