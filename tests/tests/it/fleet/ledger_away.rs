//! Commands of people while Postgres is restarted under them.

use std::fs::File;
use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::process::Command;
use std::time::Duration;

use fleetline_tests::chaos::fleet::Process;
use fleetline_tests::chaos::until;
use fleetline_tests::services::{self, Database, PrivateServers, Server};
use rustix::process::Signal;
use serde_json::Value;
use sqlx::{Connection, PgConnection};

use crate::cli::harness::{Place, log_of};

/// Far longer than anything takes.
const PATIENCE: Duration = Duration::from_mins(1);
const MESSAGES: usize = 400;

fn place(servers: &PrivateServers) -> Place {
    let place = Place::new()
        .env("FLEETLINE_POSTGRES__URL", &servers.urls.postgres)
        .env("FLEETLINE_REDIS__URL", &servers.urls.redis)
        .env("FLEETLINE_RABBITMQ__URL", &servers.urls.rabbitmq);
    place.run(&["migrate"]).exits(0);
    place
}

fn make_pipe(place: &Place) {
    let made = Command::new("mkfifo").arg(place.path("pipe.log")).status().expect("it starts");
    assert!(made.success());
}

/// The newest run, once some of its jobs are accepted.
async fn accepted(place: &Place) -> Value {
    until("accepted jobs", PATIENCE, async || {
        let run = place.run(&["status", "--fleet", "--json"]).exits(0).rows().into_iter().next()?;
        (run["counts"]["jobs"] != 0).then_some(run)
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_outlast_a_restart_of_the_ledger() {
    let servers = PrivateServers::start();
    let place = place(&servers);
    let log = log_of(MESSAGES);
    let (first, rest) = log.split_at(log.len() / 2);
    make_pipe(&place);
    let start = |name: &str, args: &[&str]| Process::start(name, &mut place.command(args), &place.path("."));

    let mut submit = start("submit", &["submit", "pipe.log"]);
    let mut pipe = File::options().write(true).open(place.path("pipe.log")).expect("a pipe");
    pipe.write_all(first.as_bytes()).expect("it is read");
    let run = accepted(&place).await["id"].as_str().expect("an id").to_owned();
    let mut watch = start("watch", &["watch", &run]);
    let mut left = start("left", &["watch", &run]);
    let mut upstreams = start("upstreams", &["upstreams", "--fleet", "--watch", "--json"]);
    upstreams.says("\"upstreams\"").await;

    servers.kill(Server::Postgres);
    pipe.write_all(rest.as_bytes()).expect("it is read");
    for process in [&submit, &watch, &left, &upstreams] {
        process.says("the ledger is away, waiting for it for up to 5m: ").await;
    }
    left.signal(Signal::INT);
    assert_eq!(left.ended().await.code(), Some(130));
    left.says("stopped while the ledger is away").await;
    place.run(&["watch", &run]).exits(1).says(&["Postgres does not answer"]);

    servers.start_again(Server::Postgres);
    for process in [&submit, &watch, &upstreams] {
        process.says("the ledger answers again").await;
    }
    assert!(upstreams.is_running());
    drop(pipe);
    submit.ended_well().await;
    let status = place.run(&["status", "--fleet", "--json"]).exits(0).rows();
    assert_eq!(status.len(), 1, "nothing was submitted twice: {status:?}");
    assert_eq!((&status[0]["state"], &status[0]["counts"]["jobs"]), (&"running".into(), &MESSAGES.into()));
    place.run(&["cancel", &run, "--fleet"]).exits(0);
    assert_eq!(watch.ended().await.code(), Some(3), "its jobs were cancelled");
}

/// Whoever connected before would get no answer: a probe is refused instead.
#[tokio::test(flavor = "multi_thread")]
async fn serve_listens_when_it_has_its_ledger() {
    let free = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = free.local_addr().expect("it has one").to_string();
    drop(free);
    let place = Place::new().env("FLEETLINE_POSTGRES__URL", "postgres://me@127.0.0.1:1/fleetline");
    let args = ["serve", "--open", "--listen", &address];
    let mut serve = Process::start("serve", &mut place.command(&args), &place.path("."));
    serve.says("waiting for the ledger").await;
    assert!(TcpStream::connect(&address).is_err(), "it listens and says nothing");
    serve.signal(Signal::TERM);
    serve.ended_well().await;
}

/// The tables are gone, say: people must mend that.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_outage_ends_a_command_at_once() {
    let database = Database::new().await;
    let servers = services::shared();
    let place = Place::new()
        .env("FLEETLINE_POSTGRES__URL", &database.url)
        .env("FLEETLINE_REDIS__URL", &servers.redis)
        .env("FLEETLINE_RABBITMQ__URL", &servers.rabbitmq);
    place.run(&["watch", "0199aaaa"]).exits(1).says(&["there is no run"]);
    let args = ["upstreams", "--fleet", "--watch", "--json"];
    let mut upstreams = Process::start("upstreams", &mut place.command(&args), &place.path("."));
    upstreams.says("\"upstreams\"").await;
    let mut connection = PgConnection::connect(&database.url).await.expect("it answers");
    sqlx::raw_sql("DROP SCHEMA public CASCADE").execute(&mut connection).await.expect("its owner may");
    assert_eq!(upstreams.ended().await.code(), Some(1));
    let log = upstreams.log();
    assert!(log.contains("fleetline migrate") && !log.contains("is away"), "{log}");
}

/// What is said when a submission from a pipe is interrupted is true, and what it names works.
#[tokio::test(flavor = "multi_thread")]
async fn an_interrupted_submission_tells_how_its_run_ends() {
    let database = Database::new().await;
    let place = Place::new().env("FLEETLINE_POSTGRES__URL", &database.url);
    place.run(&["status", "--fleet"]).exits(0).prints(&["`fleetline submit FILE --fleet`"]);
    make_pipe(&place);
    let start = |name: &str, args: &[&str]| Process::start(name, &mut place.command(args), &place.path("."));
    let mut submit = start("submit", &["submit", "pipe.log"]);
    let mut pipe = File::options().write(true).open(place.path("pipe.log")).expect("a pipe");
    pipe.write_all(log_of(MESSAGES).as_bytes()).expect("it is read");
    let run = accepted(&place).await["id"].as_str().expect("an id").to_owned();
    place.run(&["status", "--fleet"]).exits(0).prints(&["`fleetline watch RUN --fleet`"]);
    let mut watch = start("watch", &["watch", &run]);
    // Nothing more comes, and the pipe stays open.
    submit.signal(Signal::INT);
    assert_eq!(submit.ended().await.code(), Some(130));
    assert!(submit.log().contains(&format!("`fleetline run --resume {run} --fleet`")), "{}", submit.log());

    let mut resumed = start("resumed", &["run", "--resume", &run, "--fleet"]);
    until("a sealed run", PATIENCE, async || (accepted(&place).await["state"] == "running").then_some(()))
        .await;
    for process in [&mut resumed, &mut watch] {
        process.signal(Signal::INT);
        assert_eq!(process.ended().await.code(), Some(130));
        process.says("stopped watching: the fleet works on").await;
    }
}
