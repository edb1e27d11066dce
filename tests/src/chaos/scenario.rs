//! The common story of all scenarios: work comes in all the time, something happens, all gets quiet,
//! the checker judges.

use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::checker::{Quota, violations};
use super::evidence::{BrokerView, Call, Evidence, PostgresView, leases};
use super::fleet::{Fleet, Plan, Program, Site};
use super::report::Report;
use super::until;

/// What a fault does to a fleet.
pub type Inflict = for<'f, 's> fn(&'f mut Fleet<'s>, &'f mut Extent) -> Pin<Box<dyn Future<Output = ()> + Send + 'f>>;

/// A named fault with what it needs.
#[derive(Clone, Copy)]
pub struct Scenario {
    /// Its name: of its test, and in the report.
    pub name: &'static str,
    /// Whether it harms a server.
    pub needs_own_servers: bool,
    /// Settings of the fleet's processes.
    pub settings: &'static [(&'static str, &'static str)],
    /// The provider's limit, if it is judged.
    pub quota: Option<Quota>,
    /// Workers at the start.
    pub workers: usize,
    /// What happens. Work comes in all the while.
    pub inflict: Inflict,
}

/// How much of it.
#[derive(Debug)]
pub struct Extent {
    /// The long form: longer faults, more often.
    pub long: bool,
    /// For what is left to chance.
    pub random: fastrand::Rng,
}

impl Extent {
    /// One or the other.
    pub fn pick<T>(&self, short: T, long: T) -> T {
        if self.long { long } else { short }
    }
}

/// How long the provider takes.
const LATENCY: Duration = Duration::from_millis(100);
/// Items that wait for a worker, about: enough that a fault always finds work.
const WAITING: usize = 60;
/// Leases end by themselves within this time.
const LEASES_END: Duration = Duration::from_secs(30);

/// Plays a scenario from beginning to verdict.
pub async fn play(scenario: &Scenario, program: &Program, site: &Site, mut extent: Extent) -> Report {
    let began = Instant::now();
    let plan = Plan { program, site, latency: LATENCY, settings: scenario.settings };
    let mut fleet = Fleet::prepare(plan).await;
    fleet.story.quota = scenario.quota;
    fleet.add_serve(&[]).await;
    for _ in 0..scenario.workers {
        fleet.add_worker(&[]);
    }
    let stub = Arc::clone(&fleet.stub);
    let feeder = fleet.intake.feed(WAITING, move || stub.call_count());
    fleet.more_calls(10).await;
    (scenario.inflict)(&mut fleet, &mut extent).await;
    // It works as before.
    fleet.more_finished(20).await;
    feeder.stop().await;
    fleet.quiet().await;
    fleet.drain().await;
    let report = judge(scenario, &mut fleet, began).await;
    fleet.clear().await;
    report
}

async fn judge(scenario: &Scenario, fleet: &mut Fleet<'_>, began: Instant) -> Report {
    fleet.story.accepted = fleet.intake.accepted();
    fleet.story.changed = fleet.watch.end().await;
    let evidence = gather(fleet).await;
    let mut view = PostgresView::open(&fleet.urls().postgres).await.expect("Postgres answers");
    let mut server_recovery = Vec::new();
    for (server, since) in &fleet.server_restarts {
        if let Some(took) = view.first_finish_after(*since).await {
            server_recovery.push((server.clone(), took));
        }
    }
    let keys = evidence.jobs.iter().map(|job| &job.key).collect::<std::collections::BTreeSet<_>>();
    Report {
        scenario: scenario.name.to_owned(),
        took: began.elapsed(),
        jobs: evidence.jobs.len(),
        keys: keys.len(),
        calls: evidence.calls.len(),
        disturbances: fleet.story.disturbances.len(),
        worker_recovery: recoveries(&evidence.calls, &fleet.worker_kills),
        server_recovery,
        violations: violations(&evidence, &fleet.story),
    }
}

/// Reads all there is to see.
async fn gather(fleet: &Fleet<'_>) -> Evidence {
    let urls = fleet.urls();
    // A lease that was renewed in its last moment ends by itself.
    let mut held = Vec::new();
    let deadline = Instant::now() + LEASES_END;
    while Instant::now() < deadline {
        held = leases(&urls.redis, fleet.redis_prefix()).await;
        if held.is_empty() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let broker = until("the broker answers", LEASES_END, async || BrokerView::open(&urls.rabbitmq).await).await;
    let mut view = PostgresView::open(&urls.postgres).await.expect("Postgres answers");
    let calls = fleet.stub.calls();
    Evidence {
        runs: view.runs().await,
        jobs: view.jobs().await,
        results: view.results().await,
        outbox: view.outbox().await,
        leases: held,
        lines: broker.lines().await,
        dead_letters: broker.dead_letters().await,
        calls: calls.into_iter().map(|call| Call { content: call.content_hash, at: call.at }).collect(),
    }
}

/// Times from each kill to the next call of the keys that had been called for shortly before and were
/// called for again.
fn recoveries(calls: &[Call], kills: &[Instant]) -> Vec<Duration> {
    let mut found = Vec::new();
    for kill in kills {
        for again in calls.iter().filter(|call| call.at > *kill) {
            let before = calls.iter().filter(|call| call.content == again.content && call.at < again.at);
            let last = before.map(|call| call.at).max();
            if last.is_some_and(|last| last <= *kill && *kill - last < LATENCY * 10) {
                found.push(again.at - *kill);
            }
        }
    }
    found
}
