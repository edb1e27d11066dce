//! Messages on their way: published while the next jobs are taken from the ledger.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use fleetline_shared::domain::{Decision, Envelope, PortError, Usage};
use fleetline_shared::kill_point;
use fleetline_shared::ports::{Broker, Finish, FinishLedger, Message};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

/// What could not be published is published again after these times, then given back.
const REPUBLISH_PAUSES: [Duration; 6] = [
    Duration::from_millis(250),
    Duration::from_millis(500),
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(4),
    Duration::from_secs(8),
];
/// What was given back is ready again after this time.
const GIVEN_BACK_PAUSE: Duration = Duration::from_secs(1);
/// Bursts at the same time, at most: a broker that is slow to confirm holds the dispatcher back.
const BURSTS: usize = 4;

/// The bursts of messages that are not confirmed yet.
pub(super) struct Publishing {
    /// One for each burst that is published for the first time.
    permits: Arc<Semaphore>,
    troubled: Troubled,
    broker: Arc<dyn Broker>,
    finishes: Arc<dyn FinishLedger>,
    bursts: JoinSet<(String, usize)>,
    under_way: BTreeMap<String, usize>,
    /// Then nothing is published a second time.
    drain: CancellationToken,
}

impl Publishing {
    pub(super) fn new(
        broker: &Arc<dyn Broker>,
        finishes: &Arc<dyn FinishLedger>,
        drain: CancellationToken,
    ) -> Self {
        Self {
            drain,
            permits: Arc::new(Semaphore::new(BURSTS)),
            troubled: Troubled::default(),
            broker: Arc::clone(broker),
            finishes: Arc::clone(finishes),
            bursts: JoinSet::new(),
            under_way: BTreeMap::new(),
        }
    }

    /// Messages for the kind's line that may not be on it yet.
    pub(super) fn under_way(&mut self, kind: &str) -> usize {
        while let Some(done) = self.bursts.try_join_next() {
            self.note(done);
        }
        self.under_way.get(kind).copied().unwrap_or(0)
    }

    /// Whether messages for the kind's line fail and are tried again: until they are through there
    /// are to be no further ones.
    pub(super) fn is_troubled(&self, kind: &str) -> bool {
        self.troubled.lock().contains_key(kind)
    }

    /// Starts to publish; waits only while there are too many bursts. Those that failed once do not
    /// count: a line in trouble blocks no other.
    pub(super) async fn start(&mut self, kind: &str, envelopes: Vec<Envelope>) {
        if envelopes.is_empty() {
            return;
        }
        let permits = Arc::clone(&self.permits);
        let permit = permits.acquire_owned().await.expect("the semaphore is never closed");
        *self.under_way.entry(kind.to_owned()).or_default() += envelopes.len();
        let burst = Burst {
            broker: Arc::clone(&self.broker),
            finishes: Arc::clone(&self.finishes),
            troubled: self.troubled.clone(),
            drain: self.drain.clone(),
        };
        let kind = kind.to_owned();
        self.bursts.spawn(async move {
            let count = envelopes.len();
            burst.publish(&kind, envelopes, permit).await;
            kill_point::reach("dispatch.published");
            (kind, count)
        });
    }

    /// Waits for all.
    pub(super) async fn finish(mut self) {
        while self.bursts.join_next().await.is_some() {}
    }

    fn note(&mut self, done: Result<(String, usize), tokio::task::JoinError>) {
        match done {
            Ok((kind, count)) => {
                if let Some(under_way) = self.under_way.get_mut(&kind) {
                    *under_way = under_way.saturating_sub(count);
                }
            }
            Err(error) => {
                tracing::error!(%error, "a burst of messages broke off; the sweeper finds its jobs");
            }
        }
    }
}

/// Bursts in trouble by kind.
#[derive(Clone, Default)]
struct Troubled(Arc<Mutex<BTreeMap<String, usize>>>);

impl Troubled {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn begin(&self, kind: &str) {
        *self.lock().entry(kind.to_owned()).or_default() += 1;
    }

    fn end(&self, kind: &str) {
        let mut troubled = self.lock();
        if let Some(bursts) = troubled.get_mut(kind) {
            *bursts -= 1;
            if *bursts == 0 {
                troubled.remove(kind);
            }
        }
    }
}

/// What one burst needs.
struct Burst {
    broker: Arc<dyn Broker>,
    finishes: Arc<dyn FinishLedger>,
    troubled: Troubled,
    drain: CancellationToken,
}

impl Burst {
    async fn publish(&self, kind: &str, envelopes: Vec<Envelope>, permit: OwnedSemaphorePermit) {
        let failed = publish_once(&*self.broker, envelopes).await;
        drop(permit);
        if !failed.is_empty() {
            self.troubled.begin(kind);
            self.publish_again(failed).await;
            self.troubled.end(kind);
        }
    }

    /// Publishes until the broker has all of them. An error is ambiguous: the broker may have the
    /// message and a worker may be at it, so the same one goes again, under the same fence. If both
    /// arrive the second finds the first one's lease or its outcome. A new dispatch would take the
    /// lease over and pay for a second call.
    async fn publish_again(&self, mut failed: Vec<(Envelope, PortError)>) {
        for pause in REPUBLISH_PAUSES {
            let Some((_, error)) = failed.first() else { return };
            if self.drain.is_cancelled() {
                break;
            }
            tracing::warn!(jobs = failed.len(), %error, "jobs could not be published; trying again");
            let _ = timeout(pause, self.drain.cancelled()).await;
            failed =
                publish_once(&*self.broker, failed.into_iter().map(|(envelope, _)| envelope).collect()).await;
        }
        give_back(&*self.finishes, failed).await;
    }
}

/// Those that failed, each with its error.
async fn publish_once(broker: &dyn Broker, envelopes: Vec<Envelope>) -> Vec<(Envelope, PortError)> {
    let message = |envelope: &Envelope| Message {
        line: envelope.kind.clone(),
        id: envelope.job_id,
        body: envelope.encode(),
    };
    let answers = broker.publish(envelopes.iter().map(message).collect()).await;
    let failed = |(envelope, answer): (Envelope, Result<(), PortError>)| Some((envelope, answer.err()?));
    envelopes.into_iter().zip(answers).filter_map(failed).collect()
}

/// The next dispatch raises the fence, so an old message that arrives after all changes nothing.
async fn give_back(finishes: &dyn FinishLedger, failed: Vec<(Envelope, PortError)>) {
    let Some((_, error)) = failed.first() else { return };
    tracing::warn!(jobs = failed.len(), %error, "jobs could not be published; they go back");
    let back: Vec<_> = failed.iter().map(|(envelope, error)| put_back(envelope, error)).collect();
    if let Err(error) = finishes.finish(back).await {
        tracing::warn!(%error, "nor could they be given back; the sweeper finds them");
    }
}

fn put_back(envelope: &Envelope, error: &PortError) -> Finish {
    Finish {
        job: envelope.job_id,
        fence: envelope.fence,
        decision: Decision::Snooze { delay: GIVEN_BACK_PAUSE, why: format!("not published: {error}") },
        usage: Usage::default(),
    }
}
