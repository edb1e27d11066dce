//! Defects made on purpose: each is seen by the test that is named for it.

use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use fleetline_tests::chaos::evidence::{BrokerView, PostgresView};
use fleetline_tests::chaos::fleet::{Fleet, Input, Plan, Site};
use fleetline_tests::chaos::scenario::verdict;
use fleetline_tests::chaos::until;

use super::program;

const BOUND: Duration = Duration::from_mins(1);

/// Whether a test of this binary fails with the defect; without it, it passes.
fn is_seen_by(mutant: &str, test: &str) -> bool {
    let run = |mutant: &str| {
        let mut command = Command::new(std::env::current_exe().expect("a running test"));
        let output = command.args(["--exact", test]).env("FLEETLINE_MUTANT", mutant).output();
        let output = output.expect("the tests start");
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(said.contains("running 1 test"), "{test} is a test: {said}");
        output.status.success()
    };
    assert!(run("none"), "{test} passes without a defect");
    !run(mutant)
}

#[test]
fn a_finish_without_fence_check_is_seen() {
    assert!(is_seen_by("no_fence", "postgres_ledger::conformance::finish::an_older_fence_writes_nothing"));
}

#[test]
fn a_publish_that_is_not_mandatory_is_seen() {
    assert!(is_seen_by(
        "no_mandatory",
        "rabbitmq::publishing::each_returned_message_is_an_error_and_no_other"
    ));
}

#[test]
fn a_lease_without_owner_check_is_seen() {
    assert!(is_seen_by("lease_without_owner", "redis::conformance::leases::only_the_holder_releases"));
}

/// A worker dies between acknowledgement and commit: nobody has its job any more. The sweeper would
/// find it after a while; here it comes only after an hour.
#[tokio::test(flavor = "multi_thread")]
async fn an_acknowledgement_before_the_commit_is_seen() {
    let with = lost_jobs(&[("FLEETLINE_MUTANT", "ack_before_commit")]).await;
    assert!(with.iter().any(|violation| violation.contains("not terminal")), "{with:?}");
    assert_eq!(lost_jobs(&[]).await, Vec::<String>::new());
}

/// What the checker finds after a worker has died before its commit.
async fn lost_jobs(mutant: &[(&str, &str)]) -> Vec<String> {
    let plan = Plan {
        program: &program(),
        site: &Arc::new(Site::Shared),
        latency: Duration::from_millis(20),
        settings: &[("FLEETLINE_DISPATCH__STALE_AFTER", "1h")],
    };
    let mut fleet = Fleet::prepare(plan).await;
    fleet.add_serve(&[]).await;
    let began = std::time::Instant::now();
    let doomed = fleet.add_worker(&[&[("FLEETLINE_KILL_AT", "finish.before_commit:2")], mutant].concat());
    fleet.intake.submit(&Input::new(0..8)).await;
    fleet.workers[doomed].killed_itself().await;
    fleet.workers.clear();
    fleet.disturbed("a worker was killed", began, 8);
    fleet.add_worker(mutant);
    let urls = fleet.urls().clone();
    // Nothing more will happen: no message waits, and the one worker has no call under way.
    let mut before = None;
    until("all has been done that will be", BOUND, async || {
        let waiting: u32 =
            BrokerView::open(&urls.rabbitmq).await?.lines().await.iter().map(|line| line.1).sum();
        let now = (PostgresView::open(&urls.postgres).await?.terminal().await?, fleet.stub.call_count());
        let is_still = waiting == 0 && before.replace(now) == Some(now);
        tokio::time::sleep(Duration::from_secs(2)).await;
        is_still.then_some(())
    })
    .await;
    fleet.drain().await;
    let found = verdict(&mut fleet).await;
    fleet.clear().await;
    found
}
