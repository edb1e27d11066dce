//! A database of Postgres for one test, copied from one that was migrated once.

use std::time::Duration;

use fleetline_shared::postgres::{PostgresLedger, PostgresOptions, migrate};
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use tokio::time::{sleep, timeout};
use uuid::Uuid;

use super::shared;

/// A fresh database with Fleetline's tables; removed when dropped, whoever is still connected.
pub struct Database {
    /// Its URL.
    pub url: String,
    server: String,
    name: String,
}

impl Database {
    /// Makes one on the server that all tests share.
    pub async fn new() -> Self {
        Self::on(&shared().postgres).await
    }

    /// Makes one on this server.
    pub async fn on(server: &str) -> Self {
        let template = template(server).await;
        Self::create(server, &format!("TEMPLATE {template}")).await
    }

    /// Makes one on this server that was never migrated.
    pub async fn empty(server: &str) -> Self {
        Self::create(server, "").await
    }

    async fn create(server: &str, template: &str) -> Self {
        let name = format!("test_{}", Uuid::now_v7().simple());
        let mut connection = PgConnection::connect(server).await.expect("the server answers");
        let sql = format!("CREATE DATABASE {name} {template}");
        sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut connection).await.expect("a database can be made");
        Self { url: url_of(server, &name), server: server.to_owned(), name }
    }

    /// How to reach it.
    pub fn options(&self) -> PostgresOptions {
        PostgresOptions::new(&self.url)
    }

    /// The ledger in it.
    pub async fn open(&self) -> PostgresLedger {
        PostgresLedger::open(&self.options()).await.expect("the ledger opens")
    }

    /// Keeps whoever submits or ends jobs waiting, until the connection says `COMMIT`.
    pub async fn hold_keys(&self) -> PgConnection {
        let mut holder = PgConnection::connect(&self.url).await.expect("the server answers");
        sqlx::raw_sql("BEGIN; LOCK TABLE dedup").execute(&mut holder).await.expect("it is locked");
        holder
    }

    /// Waits until so many sessions wait for a lock.
    pub async fn waiting(&self, sessions: i64) {
        let mut looking = PgConnection::connect(&self.url).await.expect("the server answers");
        let sql = "SELECT count(*) FROM pg_stat_activity
                   WHERE datname = current_database() AND wait_event_type = 'Lock'";
        let waits = async {
            while sqlx::query_scalar::<_, i64>(sql).fetch_one(&mut looking).await.expect("a count") < sessions
            {
                sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(Duration::from_secs(30), waits).await.expect("they wait in time");
    }
}

fn url_of(server: &str, database: &str) -> String {
    let (server, _) = server.rsplit_once('/').expect("a URL ends with its database");
    format!("{server}/{database}")
}

const MIGRATIONS: &[&str] = &[
    include_str!("../../../shared/migrations/0001_ledger.sql"),
    include_str!("../../../shared/migrations/0002_turns.sql"),
    include_str!("../../../shared/migrations/0003_line_clocks.sql"),
    include_str!("../../../shared/migrations/0004_deadlines.sql"),
    include_str!("../../../shared/migrations/0005_finished_when_opened.sql"),
    include_str!("../../../shared/migrations/0006_cancels_go_on.sql"),
    include_str!("../../../shared/migrations/0007_lanes_of_tenants.sql"),
    include_str!("../../../shared/migrations/0008_unshared.sql"),
    include_str!("../../../shared/migrations/0009_redrives.sql"),
    include_str!("../../../shared/migrations/0010_ready_and_waiting.sql"),
    include_str!("../../../shared/migrations/0011_left_runs.sql"),
];

/// The migrated database, made by whichever test comes first. Its name tells the schema, so that a
/// changed migration makes another.
async fn template(server: &str) -> String {
    let name = format!("template_{:.16}", blake3::hash(MIGRATIONS.concat().as_bytes()).to_hex());
    let mut connection = PgConnection::connect(server).await.expect("the server answers");
    sqlx::raw_sql("SELECT pg_advisory_lock(4711)").execute(&mut connection).await.expect("a lock");
    let is_there: bool = sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM pg_database WHERE datname = $1)")
        .bind(&name)
        .fetch_one(&mut connection)
        .await
        .expect("a look at the databases");
    if !is_there {
        let unfinished = format!("making_{}", Uuid::now_v7().simple());
        let create = format!("CREATE DATABASE {unfinished}");
        sqlx::raw_sql(AssertSqlSafe(create)).execute(&mut connection).await.expect("a database can be made");
        migrate(&PostgresOptions::new(url_of(server, &unfinished))).await.expect("it can be migrated");
        let rename = format!("ALTER DATABASE {unfinished} RENAME TO {name}");
        sqlx::raw_sql(AssertSqlSafe(rename)).execute(&mut connection).await.expect("it can be renamed");
    }
    name
}

impl Drop for Database {
    fn drop(&mut self) {
        let (server, name) = (self.server.clone(), self.name.clone());
        // Drop is not async, and the test's runtime may be the one that runs it.
        let removed = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let mut connection = PgConnection::connect(&server).await?;
                let sql = format!("DROP DATABASE {name} WITH (FORCE)");
                sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut connection).await
            })
        });
        let _ = removed.join();
    }
}
