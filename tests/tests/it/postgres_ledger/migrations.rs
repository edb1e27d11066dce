//! Bringing a database up to date.

use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use fleetline_shared::domain::Finding;
use fleetline_shared::ports::{Page, QueryLedger};
use fleetline_shared::postgres::{
    PostgresLedger, PostgresOptions, examine, migrate, newest_schema, schema_version,
};
use fleetline_tests::conformance::ledger::Subject;
use fleetline_tests::conformance::ledger::prelude::{run_with, take, tokens_of};
use fleetline_tests::services::{Database, shared};
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use tokio::task::JoinSet;
use tokio::time::timeout;
use uuid::Uuid;

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
    let examined = of_schema(&database.options()).await.to_string();
    for message in [refusal(&database.options()).await, migrated, examined] {
        assert!(message.contains("schema version 9999") && message.contains("use the version"), "{message}");
    }
}

/// What `doctor` says of the schema.
async fn of_schema(options: &PostgresOptions) -> Finding {
    let (_, findings) = examine(options).await.unwrap();
    let schema = findings.into_iter().find(|finding| finding.subject == "schema");
    schema.expect("this version does not fit")
}

#[tokio::test]
async fn an_older_schema_is_told_of() {
    let database = Database::new().await;
    execute(&database.url, "DELETE FROM _sqlx_migrations WHERE version > 8").await;
    let found = of_schema(&database.options()).await;
    assert_eq!(found.remedy, "run `fleetline migrate`");
    assert!(found.problem.contains("schema version 8"), "{found}");
}

/// As behind a load balancer without a server. The answer comes as soon as time passes.
#[tokio::test(start_paused = true)]
async fn a_server_that_says_nothing_is_not_waited_for() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("postgres://me@{}/fleetline?sslmode=disable", silent.local_addr().unwrap());
    let options = PostgresOptions::new(url);
    let within = Duration::from_mins(1);
    let migrated = timeout(within, migrate(&options)).await.expect("it ends").unwrap_err();
    let read = timeout(within, schema_version(&options)).await.expect("it ends").unwrap_err();
    for error in [migrated, read] {
        assert!(error.to_string().contains("Postgres does not answer"), "{error}");
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
         DROP INDEX runs_open;
         ALTER TABLE runs DROP COLUMN read_at, DROP COLUMN if_left;
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

/// One user may bring the schema up to date, and another one work on it: what that one lacks is named.
#[tokio::test]
async fn a_table_that_the_user_may_not_use_is_named() {
    let database = Database::new().await;
    let role = format!("r{}", Uuid::now_v7().simple());
    let all = "SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public";
    let sql = format!(
        "CREATE ROLE {role}; GRANT {all} TO {role}; GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO {role}"
    );
    execute(&database.url, &sql).await;
    let url = format!("{}?options=-c%20role%3D{role}", database.url);
    let options = PostgresOptions { url, ..database.options() };
    let permissions = async || {
        let (_, findings) = examine(&options).await.unwrap();
        findings.into_iter().find(|finding| finding.subject == "permissions")
    };
    assert!(permissions().await.is_none());
    execute(&database.url, &format!("REVOKE SELECT ON _sqlx_migrations FROM {role}")).await;
    let found = permissions().await.expect("nothing opens the ledger without it");
    assert!(
        found.problem.contains("_sqlx_migrations") && found.remedy.contains("_sqlx_migrations"),
        "{found}"
    );
    execute(&database.url, &format!("GRANT SELECT ON _sqlx_migrations TO {role}")).await;
    let mut connection = PgConnection::connect(&database.url).await.unwrap();
    let tables: Vec<String> = sqlx::query_scalar(
        "SELECT tablename::text FROM pg_tables WHERE schemaname = 'public' AND tablename <> '_sqlx_migrations'",
    )
    .fetch_all(&mut connection)
    .await
    .unwrap();
    assert!(tables.len() > 10, "{tables:?}");
    for table in tables {
        execute(&database.url, &format!("REVOKE DELETE ON {table} FROM {role}")).await;
        let found = permissions().await.unwrap_or_else(|| panic!("{table} is not looked at"));
        assert!(found.problem.contains(&table), "{found:?}");
        execute(&database.url, &format!("GRANT DELETE ON {table} TO {role}")).await;
    }
    execute(&database.url, &format!("DROP OWNED BY {role}; DROP ROLE {role}")).await;
}
