//! Messages that kill, and messages that come again.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use fleetline_shared::rabbitmq::topology::JOBS_EXCHANGE;

use super::fault;
use crate::chaos::evidence::{BrokerView, PostgresView};
use crate::chaos::fleet::{Fleet, Input};
use crate::chaos::scenario::{Extent, Fault};
use crate::chaos::until;

/// All of this file.
pub const ALL: [Fault; 3] = [
    fault!("messages of finished jobs come again", old_duplicates),
    fault!("messages of jobs under way come again", young_duplicates),
    fault!("a message kills its workers", poison),
];

/// What must come comes within this time.
const END: Duration = Duration::from_mins(4);
const KIND: &str = "node.extract";

/// Costs no call: the ledger knows that they are finished.
async fn old_duplicates(fleet: &mut Fleet, _: &mut Extent) {
    let broker = BrokerView::open(&fleet.urls().rabbitmq).await.expect("the broker answers");
    let tap = broker.tap(KIND).await;
    fleet.more_finished(40).await;
    let bodies = tap.bodies().await;
    tap.close().await;
    let mut view = PostgresView::open(&fleet.urls().postgres).await.expect("Postgres answers");
    let finished = view.terminal_rows().await.expect("Postgres answers");
    for body in bodies.iter().filter(|body| finished.contains_key(&job_of(body))) {
        broker.publish(JOBS_EXCHANGE, KIND, body).await;
    }
    fleet.more_finished(10).await;
}

/// The job that a message is about.
fn job_of(body: &[u8]) -> String {
    let envelope: serde_json::Value = serde_json::from_slice(body).expect("an envelope is JSON");
    envelope["job_id"].as_str().expect("an envelope names its job").to_owned()
}

/// May cost a call each, as a redelivery after a crash does; never a second record.
async fn young_duplicates(fleet: &mut Fleet, _: &mut Extent) {
    let broker = BrokerView::open(&fleet.urls().rabbitmq).await.expect("the broker answers");
    let tap = broker.tap(KIND).await;
    let from = Instant::now();
    let mut again = HashSet::new();
    while again.len() < 20 {
        for body in tap.bodies().await {
            // The tap gets the duplicates too.
            if again.insert(job_of(&body)) {
                broker.publish(JOBS_EXCHANGE, KIND, &body).await;
            }
        }
        fleet.more_finished(1).await;
    }
    tap.close().await;
    until("all whose messages came again are finished", END, async || {
        let mut view = PostgresView::open(&fleet.urls().postgres).await?;
        let finished = view.terminal_rows().await?;
        again.iter().all(|job| finished.contains_key(job)).then_some(())
    })
    .await;
    fleet.disturbed("messages came again", from, again.len());
}

/// Ends as a dead job, and takes nothing else with it.
async fn poison(fleet: &mut Fleet, _: &mut Extent) {
    const POISON: [(&str, &str); 1] = [("FLEETLINE_POISON", Input::POISON)];
    for _ in 0..fleet.workers.len() {
        fleet.drain_worker(0).await;
        fleet.add_worker(&POISON);
    }
    let input = fleet.intake.next_input(5).with_poison();
    fleet.intake.submit(&input).await;
    let urls = fleet.urls().clone();
    let mut looked = Instant::now();
    until("the poisonous job is dead", END, async || {
        let since = std::mem::replace(&mut looked, Instant::now());
        fleet.revive(since, &POISON).await;
        let mut view = PostgresView::open(&urls.postgres).await?;
        (view.dead().await? > fleet.story.dead).then_some(())
    })
    .await;
    fleet.story.dead += 1;
}
