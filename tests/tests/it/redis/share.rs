//! Static shares beside a real server that comes and goes.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use fleetline_shared::ports::{Limits, Quotas};
use fleetline_shared::redis::{Redis, RedisQuotas};
use fleetline_shared::rules::Pacing;
use fleetline_shared::share::{Standing, StaticShare};
use fleetline_tests::conformance::Pace;
use fleetline_tests::services::{PrivateServers, Server};

use super::faults::{RATE, ask, assert_within, call_on, impatient};

/// Quotas that go on with a share, as soon as they are in reach.
async fn shares(redis: Redis, limits: BTreeMap<String, Limits>, replicas: u32) -> StaticShare {
    let replicas = limits.keys().map(|name| (name.clone(), replicas)).collect();
    let fleet = Arc::new(RedisQuotas::new(redis, limits.clone()));
    let shares = StaticShare::new(fleet, limits, &replicas, Pacing::default()).unwrap();
    becomes(&shares, Standing::Fleet).await;
    shares
}

async fn becomes(shares: &StaticShare, standing: Standing) {
    Pace::REAL.soon(shares.reach().changes().wait_for(|now| *now == standing)).await.unwrap();
}

/// Two processes with demand all the time; the server is killed and started again, then stopped and continued.
/// An upstream without a share admits nobody meanwhile.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_go_on_within_the_limit_while_the_server_is_down() {
    let servers = PrivateServers::start();
    let limits = Limits { requests: Some(RATE), ..Limits::default() };
    let limits = BTreeMap::from([("api".to_owned(), limits)]);
    let starts = Arc::new(Mutex::new(Vec::new()));
    let (first, second) =
        tokio::join!(shares(impatient(&servers), limits.clone(), 2), shares(impatient(&servers), limits, 2));
    let processes = [Arc::new(first), Arc::new(second)];
    let mut callers = Vec::new();
    for process in &processes {
        for _ in 0..20 {
            callers.push(tokio::spawn(call_on(process.clone(), Arc::clone(&starts))));
        }
    }
    let begun = async |calls: usize| {
        let before = starts.lock().unwrap().len();
        Pace::REAL.becomes(true, async || starts.lock().unwrap().len() >= before + calls).await;
    };
    begun(700).await;
    let kill = || servers.kill(Server::Redis);
    let start = || servers.start_again(Server::Redis);
    let stop = || servers.signal(Server::Redis, "STOP");
    let go_on = || servers.signal(Server::Redis, "CONT");
    for (goes, comes) in [(&kill as &dyn Fn(), &start as &dyn Fn()), (&stop, &go_on)] {
        goes();
        for process in &processes {
            becomes(process, Standing::Share).await;
        }
        begun(500).await;
        let closed = fleetline_shared::ports::Ask { upstream: "closed".into(), ..ask(Duration::ZERO) };
        assert!(processes[0].admit(closed).await.is_err(), "nobody is admitted without a share");
        comes();
        for process in &processes {
            becomes(process, Standing::Fleet).await;
        }
        begun(700).await;
    }
    for caller in &callers {
        assert!(!caller.is_finished(), "callers never stop by themselves");
        caller.abort();
    }
    assert_within(starts.lock().unwrap().clone());
}
