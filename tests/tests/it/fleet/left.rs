//! What processes leave, and what they do not.

use std::fs::File;
use std::io::Write;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use fleetline_tests::chaos::fleet::Process;
use fleetline_tests::chaos::until;
use fleetline_tests::conformance::ledger::Subject;
use fleetline_tests::conformance::ledger::prelude::{TENANT, job, run_of};
use fleetline_tests::services::{self, Database, Vhost};
use rustix::process::Signal;
use serde_json::Value;
use sqlx::{Connection, PgConnection};
use tokio::time::sleep;

use crate::cli::harness::{Place, log_of};

/// Far longer than anything takes.
const PATIENCE: Duration = Duration::from_mins(1);
const MESSAGES: usize = 400;

fn place(database: &Database, vhost: &Vhost) -> Place {
    let urls = services::shared();
    let place = Place::new()
        .env("FLEETLINE_POSTGRES__URL", &database.url)
        .env("FLEETLINE_REDIS__URL", &urls.redis)
        .env("FLEETLINE_REDIS__PREFIX", &vhost.name)
        .env("FLEETLINE_RABBITMQ__URL", &vhost.url)
        .env("FLEETLINE_RABBITMQ__MANAGEMENT_URL", &urls.management)
        .env("FLEETLINE_DISPATCH__SWEEP_EVERY", "1s")
        .env("FLEETLINE_RUN__TENANT", TENANT);
    place.run(&["topology", "apply"]).exits(0);
    place
}

/// The only run, when it is as wanted.
async fn run_when(place: &Place, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
    until(what, PATIENCE, async || {
        let run = place.run(&["status", "--fleet", "--json"]).exits(0).rows().into_iter().next()?;
        wanted(&run).then_some(run)
    })
    .await
}

/// Its reader dies in the middle: it ends with what was accepted, and says why. Then it is cancelled while its jobs are
/// handed out, and is over when a worker has heard of it.
#[tokio::test(flavor = "multi_thread")]
async fn a_run_whose_reader_was_killed_comes_to_an_end() {
    let (database, vhost) = (Database::new().await, Vhost::new().await);
    let place = place(&database, &vhost);
    let start = |args: &[&str]| Process::start(args[0], &mut place.command(args), &place.path("."));
    let mut serve = start(&["serve", "--listen", "127.0.0.1:0", "--open"]);
    let made = Command::new("mkfifo").arg(place.path("pipe.log")).status().expect("it starts");
    assert!(made.success());
    let mut submit = start(&["submit", "pipe.log"]);
    let mut pipe = File::options().write(true).open(place.path("pipe.log")).expect("a pipe");
    pipe.write_all(log_of(MESSAGES).as_bytes()).expect("it is read");
    let mut looking = PgConnection::connect(&database.url).await.expect("it answers");
    until("a run that is read", PATIENCE, async || {
        let is_read = sqlx::query_scalar::<_, bool>(
            "SELECT count(*) > 0 FROM runs WHERE jobs > 0 AND read_at IS NOT NULL",
        );
        is_read.fetch_one(&mut looking).await.expect("it answers").then_some(())
    })
    .await;

    submit.kill();
    let id = run_when(&place, "an open run", |run| run["state"] == "open").await["id"].clone();
    let id = id.as_str().expect("an id");
    let age = "UPDATE runs SET read_at = read_at - interval '1 hour'";
    sqlx::query(age).execute(&mut looking).await.expect("it answers");
    let run = run_when(&place, "a run that nobody reads is sealed", |run| run["state"] == "running").await;
    assert!(
        run["notes"]["error"].as_str().expect("a text").contains("nothing was heard of its reader"),
        "{run}"
    );

    until("jobs that are handed out", PATIENCE, async || {
        let any = sqlx::query_scalar::<_, bool>("SELECT count(*) > 0 FROM queue WHERE state = 1");
        any.fetch_one(&mut looking).await.expect("it answers").then_some(())
    })
    .await;
    place.run(&["cancel", "--fleet", id]).exits(0).prints(&["handed out end with their attempt"]);
    place.run(&["status", "--fleet"]).exits(0).prints(&["cancelling", "nothing begins any more"]);
    place.run(&["status", "--fleet", id]).exits(0).prints(&[" jobs under way"]);
    let mut worker = start(&["work"]);
    place.run(&["watch", id]).exits(1).says(&["not read to its end"]).prints(&["cancelled"]);
    place.run(&["status", "--fleet"]).exits(0).prints(&["cancelled"]);
    for process in [&mut worker, &mut serve] {
        process.signal(Signal::TERM);
        process.ended_well().await;
    }
    vhost.remove().await;
}

/// Thousands wait for a job that it has ended, and somebody holds one of them for a while.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_ends_shares_first_what_it_has_begun_to_share() {
    let (database, vhost) = (Database::new().await, Vhost::new().await);
    let place = place(&database, &vhost);
    let ledger: Subject = Arc::new(database.open().await);
    let first = run_of(&ledger, vec![job(1, "a")]).await;
    run_of(&ledger, (1..=4_500).map(|seq| job(seq, "a")).collect()).await;
    let serve = ["serve", "--listen", "127.0.0.1:0", "--open"];
    let mut serve = Process::start("serve", &mut place.command(&serve), &place.path("."));
    let address = serve.says("listening on ").await;
    let mut holding = PgConnection::connect(&database.url).await.expect("it answers");
    let hold = "BEGIN; SELECT FROM queue WHERE n = (SELECT max(n) FROM queue) FOR UPDATE";
    sqlx::raw_sql(hold).execute(&mut holding).await.expect("it is held");
    let cancel = reqwest::Client::new().post(format!("{address}/v1/runs/{first}/cancel"));
    assert_eq!(cancel.send().await.expect("an answer").status(), 200);

    serve.signal(Signal::TERM);
    serve.says("ending").await;
    // One that waits for nothing is gone by then.
    sleep(Duration::from_secs(2)).await;
    sqlx::raw_sql("ROLLBACK").execute(&mut holding).await.expect("it answers");
    serve.ended_well().await;
    let left = sqlx::query_scalar::<_, i64>("SELECT count(*) FROM unshared").fetch_one(&mut holding);
    assert_eq!(left.await.expect("it answers"), 0);
    vhost.remove().await;
}
