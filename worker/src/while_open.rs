//! What becomes of a job while its upstream's breaker is open: see `docs/adr/0008`.

use std::sync::Arc;
use std::time::Duration;

use fleetline_shared::domain::{CallContext, DynKind, ErasedDone, Outcome};
use serde_json::value::RawValue;

use crate::OnOpen;
use crate::call::{Called, call, not_now};

/// A job that may not call now.
pub(crate) struct Barred<'a> {
    pub(crate) kind: &'a Arc<dyn DynKind>,
    pub(crate) args: &'a RawValue,
    pub(crate) context: &'a CallContext,
    /// Whom it would have called.
    pub(crate) upstream: &'a str,
    /// What the quotas say about it.
    pub(crate) why: &'a str,
    /// When to ask again.
    pub(crate) wait: Duration,
}

impl Barred<'_> {
    /// What is done instead. No call is made.
    pub(crate) async fn outcome(self, on_open: OnOpen) -> Outcome {
        let why = format!("{} fails and is left alone ({})", self.upstream, self.why);
        match on_open {
            OnOpen::Wait => not_now(self.wait, &why),
            OnOpen::Cached => Outcome::Old { delay: self.wait, why },
            OnOpen::Fallback => match self.stand_in().await {
                Some(done) => {
                    let why = format!("{why}; {} stands in", made_by(&done));
                    Outcome::Success(ErasedDone { stand_in: Some(why), ..done })
                }
                None => not_now(self.wait, &why),
            },
        }
    }

    /// Lesser work, if the kind has any for this job. That it failed is no fault of the job.
    async fn stand_in(&self) -> Option<ErasedDone> {
        let performing = self.kind.perform_stand_in(self.args, self.context)?;
        match call(performing, self.kind.policy().timeout).await {
            Called::Done(done) => Some(done),
            failed => {
                let (job, outcome) = (self.context.job_id, failed.outcome());
                tracing::warn!(%job, ?outcome, "lesser work failed; the job waits");
                None
            }
        }
    }
}

fn made_by(done: &ErasedDone) -> &str {
    if done.analyser.is_empty() { "lesser work" } else { &done.analyser }
}
