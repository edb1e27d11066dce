//! The broker dies, stops, closes connections, refuses to take anything, loses a queue.

use std::time::{Duration, Instant};

use fleetline_shared::rabbitmq::topology::JOBS_EXCHANGE;
use tokio::time::sleep;

use super::fault;
use crate::chaos::evidence::BrokerView;
use crate::chaos::fleet::Fleet;
use crate::chaos::scenario::{Extent, Fault};
use crate::services::Server::RabbitMq;

/// All of this file.
pub const ALL: [Fault; 5] = [
    fault!("RabbitMQ: kill -9 and start", kill, needs_own_servers),
    fault!("RabbitMQ: stop_app and start_app", stop_app, needs_own_servers),
    fault!("RabbitMQ: close_all_connections", close_connections, needs_own_servers),
    fault!("RabbitMQ: memory alarm", alarm, needs_own_servers),
    fault!("RabbitMQ: a line's queue is deleted", delete_queue),
];

/// `RabbitMQ` 3.10 never gets a quorum queue back that it lost in the first second of its life: that
/// is its own, and for people to mend. Queues are older than this when the broker is killed.
const QUEUE_IS_SAFE: Duration = Duration::from_secs(3);

async fn kill(fleet: &mut Fleet, _: &mut Extent) {
    sleep(QUEUE_IS_SAFE).await;
    let from = Instant::now();
    fleet.site.own().kill(RabbitMq);
    fleet.site.own().start_again(RabbitMq);
    back(fleet, "the broker was killed", from).await;
}

async fn stop_app(fleet: &mut Fleet, _: &mut Extent) {
    let from = Instant::now();
    fleet.site.own().rabbitmqctl(&["stop_app"]);
    fleet.site.own().rabbitmqctl(&["start_app"]);
    back(fleet, "the broker was stopped", from).await;
}

async fn close_connections(fleet: &mut Fleet, extent: &mut Extent) {
    for _ in 0..extent.pick(1, 5) {
        let from = Instant::now();
        fleet.site.own().rabbitmqctl(&["close_all_connections", "as the test says"]);
        fleet.more_finished(5).await;
        fleet.disturbed("connections were closed", from, fleet.all_calls());
    }
}

/// The broker hands out again what was not settled.
async fn back(fleet: &mut Fleet, what: &str, from: Instant) {
    fleet.answers_again(RabbitMq);
    fleet.more_finished(5).await;
    fleet.disturbed(what, from, fleet.all_calls());
}

/// Costs no call: what is on the lines is worked on, and its acknowledgements get through.
async fn alarm(fleet: &mut Fleet, extent: &mut Extent) {
    fleet.site.own().rabbitmqctl(&["set_vm_memory_high_watermark", "0"]);
    sleep(Duration::from_secs(extent.pick(3, 30))).await;
    fleet.site.own().rabbitmqctl(&["set_vm_memory_high_watermark", "0.4"]);
    fleet.answers_again(RabbitMq);
}

/// Jobs whose messages were in it are found by the sweeper.
async fn delete_queue(fleet: &mut Fleet, _: &mut Extent) {
    let from = Instant::now();
    let view = BrokerView::open(&fleet.urls().rabbitmq).await.expect("the broker answers");
    view.delete_queue(&format!("{JOBS_EXCHANGE}.node.extract")).await;
    fleet.more_finished(40).await;
    fleet.disturbed("a queue was deleted", from, fleet.all_calls());
}
