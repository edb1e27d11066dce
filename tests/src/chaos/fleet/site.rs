//! Servers for a fleet, and what is its own on them.

use std::path::PathBuf;

use sqlx::{AssertSqlSafe, Connection, PgConnection};
use uuid::Uuid;

use crate::services::{PrivateServers, Urls, Vhost, shared};

/// The servers of a fleet.
pub enum Site {
    /// Those that all tests share: nothing may happen to them.
    Shared,
    /// Its own: anything may.
    Own(PrivateServers),
}

impl Site {
    /// Where they are.
    pub fn urls(&self) -> &Urls {
        match self {
            Self::Shared => shared(),
            Self::Own(servers) => &servers.urls,
        }
    }

    /// The servers that may be harmed.
    pub fn own(&self) -> &PrivateServers {
        match self {
            Self::Shared => panic!("a fault of a server needs servers of its own"),
            Self::Own(servers) => servers,
        }
    }
}

/// A database, a virtual host and a prefix for one fleet.
pub(super) struct Rooms {
    /// By direct ways.
    pub(super) urls: Urls,
    /// Of all keys in Redis.
    pub(super) prefix: String,
    database: String,
    server: String,
    vhost: Vhost,
}

impl Rooms {
    pub(super) async fn make(urls: &Urls) -> Self {
        let database = format!("chaos_{}", Uuid::now_v7().simple());
        run_sql(&urls.postgres, &format!("CREATE DATABASE {database}")).await;
        let vhost = Vhost::on(&urls.rabbitmq, &urls.management).await;
        let (server, _) = urls.postgres.rsplit_once('/').expect("a Postgres URL ends with its database");
        let urls =
            Urls { postgres: format!("{server}/{database}"), rabbitmq: vhost.url.clone(), ..urls.clone() };
        let server = format!("{server}/postgres");
        Self { urls, prefix: database.clone(), database, server, vhost }
    }

    /// Removes them.
    pub(super) async fn clear(self) {
        run_sql(&self.server, &format!("DROP DATABASE {} WITH (FORCE)", self.database)).await;
        self.vhost.remove().await;
    }
}

async fn run_sql(url: &str, sql: &str) {
    let mut connection = PgConnection::connect(url).await.expect("Postgres answers");
    sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(&mut connection).await.expect("it does as told");
}

/// Where the program under test is.
#[derive(Clone, Debug)]
pub struct Program(pub PathBuf);
