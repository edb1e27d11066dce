//! The common story of all scenarios: work comes in all the time, something happens, all gets quiet,
//! the checker judges.

use std::collections::BTreeSet;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::checker::{Quota, violations};
use super::evidence::{BrokerView, Call, Evidence, PostgresView, leases};
use super::fleet::{Fleet, Plan, Program, Site};
use super::report::Report;
use super::until;

/// Something that happens to a fleet.
#[derive(Clone, Copy)]
pub struct Fault {
    /// Its name in reports.
    pub name: &'static str,
    /// Whether it harms a server.
    pub needs_own_servers: bool,
    /// Whether it takes minutes.
    pub is_long: bool,
    /// What happens. Work comes in all the while.
    pub inflict: Inflict,
}

/// What a fault does.
pub type Inflict = for<'f> fn(&'f mut Fleet, &'f mut Extent) -> Pin<Box<dyn Future<Output = ()> + 'f>>;

/// Faults that happen to one fleet, one after the other.
#[derive(Clone)]
pub struct Scenario {
    /// Its name in reports.
    pub name: String,
    /// What happens.
    pub faults: Vec<Fault>,
    /// Settings of the fleet's processes.
    pub settings: &'static [(&'static str, &'static str)],
    /// The provider's limit, if it is judged.
    pub quota: Option<Quota>,
    /// How long the provider takes.
    pub latency: Duration,
    /// Items that wait for a worker, about: enough that a fault always finds work.
    pub waiting: usize,
}

impl Scenario {
    /// These faults, and nothing else that is unusual.
    pub fn of(faults: &[Fault]) -> Self {
        let names: Vec<_> = faults.iter().map(|fault| fault.name).collect();
        Self {
            name: names.join(" + "),
            faults: faults.to_vec(),
            settings: &[],
            quota: None,
            latency: Duration::from_millis(100),
            waiting: 60,
        }
    }
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

/// Workers at the start.
const WORKERS: usize = 2;
/// Leases end by themselves within this time.
const LEASES_END: Duration = Duration::from_secs(30);

/// Servers answer observers within this time.
const READING: Duration = Duration::from_mins(1);

/// Plays a scenario from beginning to verdict.
pub async fn play(scenario: &Scenario, program: &Program, site: &Arc<Site>, extent: &mut Extent) -> Report {
    let began = Instant::now();
    let plan = Plan { program, site, latency: scenario.latency, settings: scenario.settings };
    let mut fleet = Fleet::prepare(plan).await;
    fleet.story.quota = scenario.quota;
    eprintln!("{:>6.1} s  prepared", began.elapsed().as_secs_f64());
    fleet.add_serve(&[]).await;
    eprintln!("{:>6.1} s  serves", began.elapsed().as_secs_f64());
    for _ in 0..WORKERS {
        fleet.add_worker(&[]);
    }
    let stub = Arc::clone(&fleet.stub);
    let feeder = fleet.intake.feed(scenario.waiting, move || stub.call_count());
    for fault in &scenario.faults {
        // It works, before each and after the last.
        fleet.more_finished(10).await;
        eprintln!("{:>6.1} s  {}", began.elapsed().as_secs_f64(), fault.name);
        (fault.inflict)(&mut fleet, extent).await;
    }
    fleet.more_finished(10).await;
    feeder.stop().await;
    fleet.quiet().await;
    fleet.drain().await;
    let report = judge(scenario, &mut fleet, began).await;
    fleet.clear().await;
    report
}

async fn judge(scenario: &Scenario, fleet: &mut Fleet, began: Instant) -> Report {
    let evidence = close_the_book(fleet).await;
    let mut view = PostgresView::open(&fleet.urls().postgres).await.expect("Postgres answers");
    let mut server_recovery = Vec::new();
    for (server, since) in &fleet.server_restarts {
        if let Some(took) = view.first_finish_after(*since).await {
            server_recovery.push((server.clone(), took));
        }
    }
    let keys: BTreeSet<_> = evidence.jobs.iter().map(|job| &job.key).collect();
    Report {
        scenario: scenario.name.clone(),
        took: began.elapsed(),
        jobs: evidence.jobs.len(),
        keys: keys.len(),
        calls: evidence.calls.len(),
        disturbances: fleet.story.disturbances.len(),
        worker_recovery: recoveries(&evidence.calls, fleet, scenario.latency),
        server_recovery,
        violations: violations(&evidence, &fleet.story),
    }
}

/// What is not as promised, once a fleet is quiet.
pub async fn verdict(fleet: &mut Fleet) -> Vec<String> {
    let evidence = close_the_book(fleet).await;
    violations(&evidence, &fleet.story)
}

/// Completes the story and reads the evidence.
async fn close_the_book(fleet: &mut Fleet) -> Evidence {
    fleet.story.accepted = fleet.intake.accepted();
    fleet.story.changed = fleet.watch.end().await;
    gather(fleet).await
}

/// Reads all there is to see.
async fn gather(fleet: &Fleet) -> Evidence {
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
    let broker = until("the broker answers", READING, async || BrokerView::open(&urls.rabbitmq).await).await;
    let (lines, dead_letters) = (broker.lines().await, broker.dead_letters().await);
    let calls = fleet.stub.calls();
    let calls: Vec<_> =
        calls.into_iter().map(|call| Call { content: call.content_hash, at: call.at }).collect();
    until("Postgres tells all it has", READING, async || {
        let mut view = PostgresView::open(&urls.postgres).await?;
        Some(Evidence {
            runs: view.runs().await?,
            jobs: view.jobs().await?,
            results: view.results().await?,
            outbox: view.outbox().await?,
            live: view.live().await?,
            leases: held.clone(),
            lines: lines.clone(),
            dead_letters,
            calls: calls.clone(),
        })
    })
    .await
}

/// Times from each kill to the next call of the keys that were called for just before and were called
/// for again, unless another fault came in between: that one may be what they waited for.
fn recoveries(calls: &[Call], fleet: &Fleet, latency: Duration) -> Vec<Duration> {
    let kills = &fleet.worker_kills;
    let others: Vec<_> = fleet.story.disturbances.iter().filter(|one| !kills.contains(&one.from)).collect();
    let mut found = Vec::new();
    for kill in kills {
        for again in calls.iter().filter(|call| call.at > *kill) {
            let before = calls.iter().filter(|call| call.content == again.content && call.at < again.at);
            let last = before.map(|call| call.at).max();
            let was_hit = last.is_some_and(|last| last <= *kill && *kill - last < latency * 2);
            if was_hit && !others.iter().any(|one| one.from < again.at && *kill < one.until) {
                found.push(again.at - *kill);
            }
        }
    }
    found
}
