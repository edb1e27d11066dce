//! Bringing a database up to date.

use std::sync::Arc;

use fleetline_shared::ports::{Page, QueryLedger};
use fleetline_shared::postgres::{PostgresLedger, PostgresOptions, migrate, newest_schema, schema_version};
use fleetline_tests::conformance::ledger::Subject;
use fleetline_tests::conformance::ledger::prelude::{run_with, take, tokens_of};
use fleetline_tests::services::{Database, shared};
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use tokio::task::JoinSet;

async fn execute(url: &str, sql: &str) {
    let mut connection = PgConnection::connect(url).await.unwrap();
    sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(&mut connection).await.unwrap();
}

async fn refusal(options: &PostgresOptions) -> String {
    PostgresLedger::open(options).await.err().expect("this version does not fit").to_string()
}

/// As when several processes of a release start together.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_migrate_at_once() {
    let database = Database::empty(&shared().postgres).await;
    let options = database.options();
    assert_eq!(schema_version(&options).await.unwrap(), 0);
    assert!(refusal(&options).await.contains("fleetline migrate"));
    let mut tasks = JoinSet::new();
    for _ in 0..4 {
        let options = options.clone();
        tasks.spawn(async move { migrate(&options).await.unwrap() });
    }
    assert_eq!(tasks.join_all().await, [newest_schema(); 4]);
    assert_eq!(migrate(&options).await.unwrap(), newest_schema());
    assert_eq!(schema_version(&options).await.unwrap(), newest_schema());
    assert!(database.open().await.runs(None, Page::first(1)).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_newer_schema_is_left_as_it_is() {
    let database = Database::new().await;
    execute(
        &database.url,
        "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
         VALUES (9999, 'of the future', true, '', 0)",
    )
    .await;
    let migrated = migrate(&database.options()).await.unwrap_err().to_string();
    for message in [refusal(&database.options()).await, migrated] {
        assert!(message.contains("schema version 9999") && message.contains("use the version"), "{message}");
    }
}

/// A ledger that was opened before the database was ready finds it when it is.
#[tokio::test]
async fn a_lazy_ledger_waits_for_its_schema() {
    let database = Database::empty(&shared().postgres).await;
    let ledger = PostgresLedger::open_lazily(&database.options()).unwrap();
    let error = ledger.runs(None, Page::first(1)).await.unwrap_err().to_string();
    assert!(error.contains("fleetline migrate"), "{error}");
    migrate(&database.options()).await.unwrap();
    assert!(ledger.runs(None, Page::first(1)).await.unwrap().is_empty());
}

/// What waits when a release is rolled out is handed out by the new one, to its tenants.
#[tokio::test]
async fn a_backlog_is_brought_up_to_date() {
    let database = Database::new().await;
    let ledger: Subject = Arc::new(database.open().await);
    for tenant in ["acme", "globex"] {
        run_with(&ledger, tenant, 3, &[10]).await;
    }
    drop(ledger);
    execute(
        &database.url,
        "DROP TABLE unshared, redriving;
         DROP INDEX queue_ready;
         ALTER TABLE queue DROP COLUMN tenant;
         CREATE INDEX queue_ready ON queue (kind, upstream, run, priority DESC, run_at, n) WHERE state = 0;
         DELETE FROM _sqlx_migrations WHERE version >= 7",
    )
    .await;
    assert!(refusal(&database.options()).await.contains("schema version 6"));
    migrate(&database.options()).await.unwrap();
    let ledger: Subject = Arc::new(database.open().await);
    let taken = take(&ledger, 10).await;
    assert_eq!((tokens_of(&taken, "acme"), tokens_of(&taken, "globex")), (30, 30));
}
