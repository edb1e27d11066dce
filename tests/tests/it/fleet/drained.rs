//! A worker that drains leaves nothing of the quota taken.

use fleetline_tests::chaos::fleet::Process;
use fleetline_tests::openai_stub::{Behaviour, OpenAiStub};
use fleetline_tests::services::{self, Database, Vhost};
use rustix::process::Signal;

use crate::cli::harness::{Place, log_of};

/// Calls outlast the grace.
#[tokio::test(flavor = "multi_thread")]
async fn calls_that_a_drain_breaks_off_leave_their_places() {
    let (database, vhost) = (Database::new().await, Vhost::new().await);
    let stub = OpenAiStub::start();
    stub.script(vec![Behaviour::Hang; 4]);
    let urls = services::shared();
    let place = Place::with_stub(&stub)
        .env("FLEETLINE_POSTGRES__URL", &database.url)
        .env("FLEETLINE_REDIS__URL", &urls.redis)
        .env("FLEETLINE_REDIS__PREFIX", &vhost.name)
        .env("FLEETLINE_RABBITMQ__URL", &vhost.url)
        .env("FLEETLINE_RABBITMQ__MANAGEMENT_URL", &urls.management)
        .env("FLEETLINE_WORKER__GRACE", "0s");
    place.run(&["topology", "apply"]).exits(0);
    let start = |args: &[&str]| Process::start(args[0], &mut place.command(args), &place.path("."));
    let _serve = start(&["serve", "--listen", "127.0.0.1:0", "--open"]);
    let mut worker = start(&["work"]);
    place.write("a.log", log_of(2));
    let accepted = place.run(&["submit", "--json", "a.log"]).exits(0).json();
    stub.calls_reach(2).await;
    let in_flight = || {
        place.run(&["upstreams", "--fleet", "--json"]).exits(0).json()["upstreams"][0]["in_flight"].clone()
    };
    assert_eq!(in_flight(), 2);
    worker.signal(Signal::TERM);
    worker.ended_well().await;
    assert_eq!(in_flight(), 0);
    place.run(&["cancel", "--fleet", accepted["id"].as_str().expect("an id")]).exits(0);
    vhost.remove().await;
}
