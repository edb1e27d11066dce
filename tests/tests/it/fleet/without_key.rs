//! A worker without the key of an API leaves its jobs to others.

use std::time::Duration;

use fleetline_tests::chaos::fleet::Process;
use fleetline_tests::chaos::until;
use fleetline_tests::openai_stub::OpenAiStub;
use fleetline_tests::services::{self, Database, Vhost};
use serde_json::Value;

use crate::cli::harness::{Place, log_of};

const PATIENCE: Duration = Duration::from_mins(1);
const JOBS: usize = 5;

#[tokio::test(flavor = "multi_thread")]
async fn jobs_that_a_worker_is_not_set_up_for_go_back_unharmed() {
    let (database, vhost) = (Database::new().await, Vhost::new().await);
    let stub = OpenAiStub::start();
    let urls = services::shared();
    let in_fleet = |place: Place| {
        place
            .env("FLEETLINE_POSTGRES__URL", &database.url)
            .env("FLEETLINE_REDIS__URL", &urls.redis)
            .env("FLEETLINE_REDIS__PREFIX", &vhost.name)
            .env("FLEETLINE_RABBITMQ__URL", &vhost.url)
            .env("FLEETLINE_RABBITMQ__MANAGEMENT_URL", &urls.management)
    };
    let (with_key, without) = (in_fleet(Place::with_stub(&stub)), in_fleet(Place::new()));
    with_key.run(&["topology", "apply"]).exits(0);
    let start =
        |place: &Place, args: &[&str]| Process::start(args[0], &mut place.command(args), &place.path("."));
    let _serve = start(&with_key, &["serve", "--listen", "127.0.0.1:0", "--open"]);
    let worker = start(&without, &["work"]);
    with_key.write("a.log", log_of(JOBS));
    let accepted = with_key.run(&["submit", "--json", "a.log"]).exits(0).json();
    let run = accepted["id"].as_str().expect("an id");
    let is_left = |job: &Value| {
        let error = job["error"].as_str().unwrap_or_default();
        error.contains("left to another worker") && error.contains("configure `openai`")
    };
    let jobs = until("all jobs to go back", PATIENCE, async || {
        let jobs = with_key.run(&["jobs", "--fleet", "--json", run]).exits(0).rows();
        (!jobs.is_empty() && jobs.iter().all(is_left)).then_some(jobs)
    })
    .await;
    assert!(jobs.iter().all(|job| job["state"] == "ready" && job["attempts"] == 0), "{jobs:?}");
    let log = worker.log();
    assert_eq!(log.matches("not set up for them").count(), 1, "{log}");
    assert!(log.contains("configure `openai` in this process"), "{log}");
    with_key.run(&["cancel", "--fleet", run]).exits(0);
    with_key.run(&["watch", run]).exits(3);
    assert_eq!(stub.call_count(), 0);
    vhost.remove().await;
}
