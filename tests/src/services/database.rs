//! A database of the shared Postgres for one test.

use fleetline_shared::postgres::{PostgresOptions, migrate};
use sqlx::{Connection, PgConnection};
use uuid::Uuid;

use super::shared;

/// A fresh database with Fleetline's tables. Call [`Database::remove`] at the end of the test; one
/// that a failed test leaves behind ends with the server.
pub struct Database {
    /// Its URL.
    pub url: String,
    name: String,
}

impl Database {
    /// Makes one on the server that all tests share.
    pub async fn new() -> Self {
        let name = format!("test_{}", Uuid::now_v7().simple());
        let (server, _) = shared().postgres.rsplit_once('/').expect("a Postgres URL ends with its database");
        let database = Self { url: format!("{server}/{name}"), name };
        admin(&format!("CREATE DATABASE {}", database.name)).await;
        migrate(&database.options()).await.expect("a new database can be migrated");
        database
    }

    /// How to reach it.
    pub fn options(&self) -> PostgresOptions {
        PostgresOptions::new(self.url.as_str())
    }

    /// Removes it, whoever is still connected.
    pub async fn remove(self) {
        admin(&format!("DROP DATABASE {} WITH (FORCE)", self.name)).await;
    }
}

async fn admin(statement: &str) {
    let mut connection = PgConnection::connect(&shared().postgres).await.expect("Postgres answers");
    sqlx::raw_sql(sqlx::AssertSqlSafe(statement)).execute(&mut connection).await.expect("it is allowed");
}
