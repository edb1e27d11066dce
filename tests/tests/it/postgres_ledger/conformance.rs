//! The same suite as every ledger.

use std::sync::Arc;

use fleetline_tests::conformance::ledger::Subject;

use fleetline_tests::services::Database;

async fn fresh() -> (Subject, Database) {
    let database = Database::new().await;
    (Arc::new(database.open().await), database)
}

fleetline_tests::ledger_conformance!(fresh);
