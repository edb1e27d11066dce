//! Messages on their way: published while the next jobs are taken from the ledger.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use fleetline_shared::domain::{Decision, Envelope, PortError, Usage};
use fleetline_shared::kill_point;
use fleetline_shared::ports::{Broker, Finish, FinishLedger, Message};
use tokio::task::JoinSet;

/// Jobs whose publishing failed are ready again after this time.
const REPUBLISH_PAUSE: Duration = Duration::from_secs(1);
/// Bursts at the same time, at most: a broker that is slow to confirm holds the dispatcher back.
const BURSTS: usize = 4;

/// The bursts of messages that are not confirmed yet.
pub(super) struct Publishing {
    broker: Arc<dyn Broker>,
    finishes: Arc<dyn FinishLedger>,
    bursts: JoinSet<(String, usize)>,
    under_way: BTreeMap<String, usize>,
}

impl Publishing {
    pub(super) fn new(broker: &Arc<dyn Broker>, finishes: &Arc<dyn FinishLedger>) -> Self {
        Self {
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

    /// Starts to publish; waits only while there are too many bursts.
    pub(super) async fn start(&mut self, kind: &str, envelopes: Vec<Envelope>) {
        if envelopes.is_empty() {
            return;
        }
        while self.bursts.len() >= BURSTS
            && let Some(done) = self.bursts.join_next().await
        {
            self.note(done);
        }
        *self.under_way.entry(kind.to_owned()).or_default() += envelopes.len();
        let (broker, finishes, kind) =
            (Arc::clone(&self.broker), Arc::clone(&self.finishes), kind.to_owned());
        self.bursts.spawn(async move {
            let count = envelopes.len();
            publish(&*broker, &*finishes, &envelopes).await;
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

async fn publish(broker: &dyn Broker, finishes: &dyn FinishLedger, envelopes: &[Envelope]) {
    let messages = envelopes
        .iter()
        .map(|envelope| Message { line: envelope.kind.clone(), id: envelope.job_id, body: envelope.encode() })
        .collect();
    let answers = broker.publish(messages).await;
    // An error is ambiguous: the broker may have the message. The next dispatch raises the fence,
    // so an old message that arrives after all changes nothing.
    let back: Vec<_> = envelopes
        .iter()
        .zip(answers)
        .filter_map(|(envelope, answer)| Some(put_back(envelope, &answer.err()?)))
        .collect();
    if let Some(first) = back.first() {
        tracing::warn!(jobs = back.len(), why = ?first.decision, "jobs could not be published; they go back");
        if let Err(error) = finishes.finish(back).await {
            tracing::warn!(%error, "nor could they be given back; the sweeper finds them");
        }
    }
}

fn put_back(envelope: &Envelope, error: &PortError) -> Finish {
    Finish {
        job: envelope.job_id,
        fence: envelope.fence,
        decision: Decision::Snooze { delay: REPUBLISH_PAUSE, why: format!("not published: {error}") },
        usage: Usage::default(),
    }
}
