//! What a dispatcher puts on a line when there is not room for all.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use fleetline_producer::dispatcher::{DispatchOptions, Dispatcher, WindowBounds};
use fleetline_shared::domain::{Envelope, NewJob, Weights};
use fleetline_shared::embedded::{MemoryBroker, MemoryQuotas, SqliteLedger};
use fleetline_shared::ports::{Broker, Limits, Rate, Scope};
use fleetline_tests::conformance::ledger::Subject;
use fleetline_tests::conformance::ledger::prelude::{KIND, TENANT, add, job, open};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

const UPSTREAMS: usize = 20;
const WINDOW: usize = 64;
const TAKEN: usize = 600;
/// Slower than a quarter of the upstreams are handed out.
const WORK: Duration = Duration::from_millis(5);

/// The line is always shorter than what some of them may have together, though not one of them may fill it.
#[tokio::test]
async fn upstreams_that_may_have_some_share_a_line_that_is_too_short_for_all() {
    let folder = tempfile::tempdir().unwrap();
    let sqlite = SqliteLedger::open(&folder.path().join("ledger.db")).unwrap();
    let ledger: Subject = Arc::new(sqlite.clone());
    let run = open(&ledger, TENANT).await;
    let upstreams: Vec<_> = (0..UPSTREAMS).map(|number| format!("upstream-{number:02}")).collect();
    let jobs = (1..=2_400).zip(upstreams.iter().cycle()).map(|(seq, upstream)| NewJob {
        upstream: Some(upstream.clone()),
        ..job(seq, &format!("key-{seq}"))
    });
    add(&ledger, run, jobs.collect()).await;
    let requests = Some(Rate { amount: 20 * 60, window: Duration::from_mins(1) });
    let limits = upstreams.iter().map(|name| (name.clone(), Limits { requests, ..Limits::default() }));
    let broker: Arc<dyn Broker> = Arc::new(MemoryBroker::new());
    let dispatcher = Dispatcher {
        ledger: Arc::new(sqlite.clone()),
        finishes: Arc::new(sqlite),
        broker: Arc::clone(&broker),
        quotas: Arc::new(MemoryQuotas::new(limits.collect())),
        kinds: vec![KIND.to_owned()],
        options: DispatchOptions {
            scope: Scope::All,
            window: WindowBounds { least: WINDOW, most: WINDOW },
            poll: Duration::from_millis(50),
            hold: Duration::from_secs(1),
            weights: Weights::default(),
            detours: BTreeSet::new(),
        },
    };
    let drain = CancellationToken::new();
    let dispatching = tokio::spawn(dispatcher.run(drain.clone()));
    let mut deliveries = broker.consume(KIND, 1).await.unwrap();
    let mut taken: BTreeMap<String, usize> = BTreeMap::new();
    for _ in 0..TAKEN {
        let delivery = deliveries.next().await.unwrap().unwrap();
        let upstream = Envelope::decode(&delivery.body).unwrap().upstream.unwrap();
        *taken.entry(upstream).or_default() += 1;
        sleep(WORK).await;
        delivery.ack().await.unwrap();
    }
    drain.cancel();
    dispatching.await.unwrap();
    for upstream in &upstreams {
        let jobs = taken.get(upstream).copied().unwrap_or(0);
        assert!(jobs >= TAKEN / UPSTREAMS / 4, "{upstream}: {taken:?}");
    }
}
