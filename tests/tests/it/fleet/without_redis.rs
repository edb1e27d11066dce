//! Redis paces calls; jobs that call nobody need none of it.

use fleetline_tests::chaos::fleet::Process;
use fleetline_tests::services::{self, Database, Vhost};

use crate::cli::harness::{Place, sample};

/// Nobody listens there.
const NO_REDIS: &str = "redis://127.0.0.1:1/";

#[tokio::test(flavor = "multi_thread")]
async fn jobs_that_call_nobody_are_done_without_redis() {
    let (database, vhost) = (Database::new().await, Vhost::new().await);
    let place = Place::new()
        .env("FLEETLINE_POSTGRES__URL", &database.url)
        .env("FLEETLINE_REDIS__URL", NO_REDIS)
        .env("FLEETLINE_RABBITMQ__URL", &vhost.url)
        .env("FLEETLINE_RABBITMQ__MANAGEMENT_URL", &services::shared().management);
    place.run(&["topology", "apply"]).exits(0);
    let start = |args: &[&str]| Process::start(args[0], &mut place.command(args), &place.path("."));
    let _serve = start(&["serve", "--listen", "127.0.0.1:0", "--open"]);
    let worker = start(&["work"]);
    let accepted = place.run(&["submit", "--json", &sample("service.log")]).exits(0).json();
    let run = accepted["id"].as_str().expect("an id");
    place.run(&["watch", run]).exits(0);
    let rows = place.run(&["results", "--fleet", "--json", run]).exits(0).rows();
    assert!(!rows.is_empty() && rows.iter().all(|row| row["state"] == "succeeded"), "{rows:?}");
    worker.says("no upstream is called until it is back").await;
    assert_eq!(worker.log().matches("Redis cannot be reached").count(), 1, "{}", worker.log());
    let why = worker.says("no upstream is called until it is back").await;
    assert!(why.contains("127.0.0.1:1 cannot be reached: Connection refused"), "{why}");
    vhost.remove().await;
}
