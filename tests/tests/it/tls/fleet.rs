//! A fleet whose every connection is encrypted.

use std::str::FromStr;

use fleetline_tests::chaos::fleet::Process;
use fleetline_tests::services::PrivateServers;
use serde_json::Value;
use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions, Row};

use super::place;
use crate::cli::harness::{Place, sample};

#[tokio::test(flavor = "multi_thread")]
async fn a_fleet_works_over_tls() {
    let servers = PrivateServers::start_with_tls();
    let ca = servers.ca_file();
    let place = place(&servers.urls, Some(&ca));
    place.run(&["migrate"]).exits(0);
    place.run(&["topology", "apply"]).exits(0);
    place.run(&["doctor"]).exits(0).prints(&["ok  postgres", "ok  rabbitmq", "ok  redis"]);

    let serve = start(&place, "serve", &["serve", "--listen", "127.0.0.1:0", "--open"]);
    serve.says("listening on http://").await;
    let _worker = start(&place, "work", &["work"]);
    let accepted = place.run(&["submit", "--json", &sample("service.log")]).exits(0).json();
    let run = accepted["id"].as_str().expect("an id");
    place.run(&["watch", run]).exits(0);
    let rows = place.run(&["results", "--fleet", "--json", run]).exits(0).rows();
    assert!(!rows.is_empty() && rows.iter().all(|row| row["state"] == "succeeded"), "{rows:?}");

    assert_eq!(unencrypted_in_postgres(&servers.urls.postgres).await, (0, true));
    assert_eq!(unencrypted_in_rabbitmq(&servers), (0, true));
}

fn start(place: &Place, name: &str, args: &[&str]) -> Process {
    Process::start(name, &mut place.command(args), &place.path("."))
}

/// The fleet's connections without TLS, and whether there are any at all.
async fn unencrypted_in_postgres(url: &str) -> (i64, bool) {
    let mut connection = PgConnectOptions::from_str(url).unwrap().connect().await.expect("it answers");
    let row = sqlx::query(
        "SELECT count(*) FILTER (WHERE NOT ssl), count(*) > 0 FROM pg_stat_ssl
         JOIN pg_stat_activity USING (pid) WHERE application_name LIKE 'fleetline/%'",
    )
    .fetch_one(&mut connection)
    .await
    .expect("an answer");
    (row.get(0), row.get(1))
}

fn unencrypted_in_rabbitmq(servers: &PrivateServers) -> (usize, bool) {
    let said = servers.rabbitmqctl(&["list_connections", "--formatter", "json", "name", "ssl"]);
    let connections: Vec<Value> = serde_json::from_str(&said).expect("JSON");
    (connections.iter().filter(|connection| connection["ssl"] != true).count(), !connections.is_empty())
}
