//! Messages on their way: published while the next jobs are taken from the ledger.

use std::collections::BTreeMap;
use std::iter::repeat;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use fleetline_shared::domain::{Decision, Envelope, PortError, Usage};
use fleetline_shared::kill_point;
use fleetline_shared::ports::{Broker, Finish, FinishLedger, Message, Unpublished};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

/// What could not be published is published again after these times, then given back, if it is sure not to
/// be on its line. What is not is published until the broker has it, each time after the last of these.
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
        let first = envelopes.into_iter().map(Outstanding::new).collect();
        let failed = publish_once(&*self.broker, first).await;
        drop(permit);
        if !failed.is_empty() {
            self.troubled.begin(kind);
            self.publish_again(failed).await;
            self.troubled.end(kind);
        }
    }

    /// Publishes until the broker has all of them. An error may be ambiguous: the broker may have the
    /// message and a worker may be at it, so the same one goes again, under the same fence. If both
    /// arrive the second finds the first one's lease or its outcome. A job that is given back loses the
    /// outcome of the call that may be under way, and its next dispatch pays for a second one.
    async fn publish_again(&self, mut failed: Vec<Outstanding>) {
        let [.., longest] = REPUBLISH_PAUSES;
        for pause in REPUBLISH_PAUSES.into_iter().chain(repeat(longest)) {
            if failed.is_empty() || self.drain.is_cancelled() {
                break;
            }
            say("jobs could not be published; trying again", &failed);
            let _ = timeout(pause, self.drain.cancelled()).await;
            failed = publish_once(&*self.broker, failed).await;
            if pause == longest {
                failed = self.give_back_what_is_not_there(failed).await;
            }
        }
        let rest = self.give_back_what_is_not_there(failed).await;
        if !rest.is_empty() {
            say("jobs may be on their line or not; the sweeper finds those that are not", &rest);
        }
    }

    /// Returns the others. The next dispatch raises the fence.
    async fn give_back_what_is_not_there(&self, failed: Vec<Outstanding>) -> Vec<Outstanding> {
        let (rest, sure): (Vec<_>, Vec<_>) = failed.into_iter().partition(|job| job.envelope.again);
        if !sure.is_empty() {
            say("jobs could not be published; they go back", &sure);
            if let Err(error) = self.finishes.finish(sure.iter().map(Outstanding::put_back).collect()).await {
                tracing::warn!(%error, "nor could they be given back; the sweeper finds them");
            }
        }
        rest
    }
}

fn say(what: &str, jobs: &[Outstanding]) {
    let error = jobs.iter().find_map(|job| job.error.as_ref()).map(ToString::to_string);
    tracing::warn!(jobs = jobs.len(), error = error.unwrap_or_default(), "{what}");
}

/// A job whose message the broker has not confirmed.
struct Outstanding {
    /// `again`: one of the messages so far may have arrived.
    envelope: Envelope,
    /// Why it failed last.
    error: Option<PortError>,
}

impl Outstanding {
    fn new(envelope: Envelope) -> Self {
        Self { envelope, error: None }
    }

    fn message(&self) -> Message {
        let Envelope { kind, job_id, .. } = &self.envelope;
        Message { line: kind.clone(), id: *job_id, body: self.envelope.encode() }
    }

    /// After another try, if it failed.
    fn after(mut self, answer: Result<(), Unpublished>) -> Option<Self> {
        let failed = answer.err()?;
        self.envelope.again |= failed.may_be_there;
        self.error = Some(failed.error);
        Some(self)
    }

    fn put_back(&self) -> Finish {
        let why = self.error.as_ref().map(|error| format!("not published: {error}")).unwrap_or_default();
        Finish {
            job: self.envelope.job_id,
            fence: self.envelope.fence,
            decision: Decision::Snooze { delay: GIVEN_BACK_PAUSE, why },
            usage: Usage::default(),
        }
    }
}

/// Those that failed.
async fn publish_once(broker: &dyn Broker, jobs: Vec<Outstanding>) -> Vec<Outstanding> {
    let answers = broker.publish(jobs.iter().map(Outstanding::message).collect()).await;
    jobs.into_iter().zip(answers).filter_map(|(job, answer)| job.after(answer)).collect()
}
