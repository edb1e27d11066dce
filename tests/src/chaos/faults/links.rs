//! What is between the processes and their servers breaks.

use std::time::{Duration, Instant};

use tokio::time::sleep;

use super::fault;
use crate::chaos::fleet::{Fleet, Role};
use crate::chaos::proxy::{Link, Way};
use crate::chaos::scenario::{Extent, Fault};
use crate::services::Server;

/// All of this file.
pub const ALL: [Fault; 6] = [
    fault!("links worker - RabbitMQ", |f, e| all_ways(f, e, Role::Work, Server::RabbitMq)),
    fault!("links worker - Redis", |f, e| all_ways(f, e, Role::Work, Server::Redis)),
    fault!("links worker - Postgres", |f, e| all_ways(f, e, Role::Work, Server::Postgres)),
    fault!("links serve - RabbitMQ", |f, e| all_ways(f, e, Role::Serve, Server::RabbitMq)),
    fault!("links serve - Redis", |f, e| all_ways(f, e, Role::Serve, Server::Redis)),
    fault!("links serve - Postgres", |f, e| all_ways(f, e, Role::Serve, Server::Postgres)),
];

/// For calls that take longer than a lease lives.
pub const REDIS_OUT_OF_REACH: Fault = fault!("Redis is out of reach for calls under way", out_of_reach);

const SLOW: Way = Way::Slow { delay: Duration::from_millis(150), bytes_per_second: Some(40_000) };

/// One after the other, the ways in which a link can be bad.
fn links() -> [(&'static str, Link); 6] {
    let through = |to_server, to_client| Link::Through { to_server, to_client };
    [
        ("cut", Link::Cut),
        ("accepts, then closes", Link::AcceptThenClose),
        ("black to the server", through(Way::Black, Way::Pass)),
        ("black to the client", through(Way::Pass, Way::Black)),
        ("slow to the server", through(SLOW, Way::Pass)),
        ("slow to the client", through(Way::Pass, SLOW)),
    ]
}

async fn all_ways(fleet: &mut Fleet, extent: &mut Extent, role: Role, server: Server) {
    for (what, link) in links() {
        let from = Instant::now();
        fleet.links(role).to(server).set(link);
        // Up to beyond what heartbeats take to notice.
        let long = extent.random.u64(500..25_000);
        sleep(Duration::from_millis(extent.pick(1_500, long))).await;
        fleet.links(role).heal();
        fleet.more_finished(5).await;
        if role == Role::Work {
            fleet.disturbed(&format!("{server:?} {what}"), from, fleet.all_calls());
        }
    }
}

/// Calls whose leases cannot be renewed go on, and none is made again.
async fn out_of_reach(fleet: &mut Fleet, _: &mut Extent) {
    fleet.more_calls(fleet.all_calls()).await;
    fleet.links(Role::Work).to(Server::Redis).set(Link::Cut);
    sleep(Duration::from_secs(6)).await;
    fleet.links(Role::Work).heal();
}
