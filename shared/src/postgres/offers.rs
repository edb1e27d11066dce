//! What a dispatcher offers, and what submissions took of it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::numbers::{bounded, to_ms};
use crate::domain::{ENVELOPE_VERSION, Envelope, Estimate, JobId, LARGEST_ARGS, NewJob, NewRun, PortError};
use crate::ports::Offer;

/// The offer of a process, and where its jobs went.
#[derive(Default)]
pub(super) struct Offers {
    state: Mutex<State>,
    news: Notify,
}

#[derive(Default)]
struct State {
    offer: Option<Offer>,
    /// Jobs that submissions have taken and of which the dispatcher has not heard yet.
    under_way: usize,
    handed_out: Vec<Envelope>,
    /// Nobody knows whether there are more.
    is_unknown: bool,
}

impl Offers {
    pub(super) fn set(&self, offer: Option<Offer>) {
        self.lock().offer = offer;
        self.news.notify_one();
    }

    pub(super) async fn next(&self) -> Option<Result<Vec<Envelope>, PortError>> {
        loop {
            {
                let mut state = self.lock();
                if std::mem::take(&mut state.is_unknown) {
                    let message = "a submission that may have handed out its jobs gave no answer".into();
                    return Some(Err(PortError::Unavailable { port: "ledger", message }));
                }
                if !state.handed_out.is_empty() {
                    let all = std::mem::take(&mut state.handed_out);
                    state.under_way -= all.len();
                    return Some(Ok(all));
                }
                if state.offer.is_none() && state.under_way == 0 {
                    return None;
                }
            }
            self.news.notified().await;
        }
    }

    /// Takes for as many of these jobs as the offer has room for, beside those that the dispatcher has not heard of yet:
    /// whoever offers anew does not know of them.
    pub(super) fn take(self: &Arc<Self>, jobs: &[NewJob]) -> Part {
        let mut state = self.lock();
        let (spoken_for, mut taken) = (state.under_way, 0);
        let may_go = |job: &NewJob, taken: usize| {
            let Some(offer) = &state.offer else { return false };
            let waits = job.upstream.as_ref().is_some_and(|upstream| offer.skip_upstreams.contains(upstream));
            !waits && offer.room.get(&job.kind).is_some_and(|room| *room > spoken_for + taken)
        };
        let mut which = Vec::with_capacity(jobs.len());
        for job in jobs {
            let goes = may_go(job, taken);
            taken += usize::from(goes);
            which.push(goes);
        }
        state.under_way += taken;
        drop(state);
        Part { offers: Arc::clone(self), which, taken, said: None }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What one submission took. If it is dropped before it [has said](Self::say) which jobs went out, nobody knows.
pub(super) struct Part {
    offers: Arc<Offers>,
    /// Which of its jobs may go out.
    pub(super) which: Vec<bool>,
    taken: usize,
    said: Option<Vec<Envelope>>,
}

impl Part {
    pub(super) fn is_empty(&self) -> bool {
        self.taken == 0
    }

    pub(super) fn say(mut self, envelopes: Vec<Envelope>) {
        self.said = Some(envelopes);
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        if self.is_empty() {
            return;
        }
        let mut state = self.offers.lock();
        state.is_unknown |= self.said.is_none();
        let went = self.said.take().unwrap_or_default();
        state.under_way -= self.taken - went.len();
        state.handed_out.extend(went);
        drop(state);
        self.offers.news.notify_one();
    }
}

/// The message of a job that is handed out for the first time, as [`take`](super::take) reads it from its rows.
pub(super) fn first_envelope(run: &NewRun, job: &NewJob, id: JobId) -> Envelope {
    Envelope {
        v: ENVELOPE_VERSION,
        job_id: id,
        run_id: run.id,
        tenant: run.tenant.clone(),
        kind: job.kind.clone(),
        fence: 1,
        attempts: 0,
        max_attempts: job.max_attempts,
        deadline_ms: job.deadline.map(|left| to_ms(left).cast_unsigned()),
        dedup_key: job.dedup_key,
        upstream: job.upstream.clone(),
        estimate: Estimate {
            input_tokens: bounded(job.estimate.input_tokens).cast_unsigned(),
            output_tokens: bounded(job.estimate.output_tokens).cast_unsigned(),
        },
        again: false,
        args: (job.args.get().len() <= LARGEST_ARGS).then(|| job.args.clone()),
    }
}
