//! Every ledger passes the same suite.

mod sqlite {
    use std::sync::Arc;

    use fleetline_shared::embedded::SqliteLedger;
    use fleetline_tests::conformance::ledger::Subject;
    use tempfile::TempDir;

    async fn fresh() -> (Subject, TempDir) {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let ledger = SqliteLedger::open(&folder.path().join("ledger.db")).expect("a new ledger");
        (Arc::new(ledger), folder)
    }

    fleetline_tests::ledger_conformance!(fresh);
}
