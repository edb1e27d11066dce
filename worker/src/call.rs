//! The call of a kind's handler, and what its end means for the job and for the upstream.

use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::time::Duration;

use fleetline_shared::domain::{CallContext, ErasedDone, FailureClass, Feedback, JobError, Outcome, Verdict};
use fleetline_shared::rules::pause_after;
use futures_util::FutureExt;
use tokio::time::timeout;

/// How a call ended.
pub(crate) enum Called {
    Done(ErasedDone),
    Error(JobError),
    TimedOut(Duration),
    Panicked(String),
}

/// Waits for the handler, so long at most.
pub(crate) async fn call(
    performing: Pin<Box<dyn Future<Output = Result<ErasedDone, JobError>> + Send + '_>>,
    limit: Duration,
) -> Called {
    match timeout(limit, AssertUnwindSafe(performing).catch_unwind()).await {
        Ok(Ok(Ok(done))) => Called::Done(done),
        Ok(Ok(Err(error))) => Called::Error(error),
        Ok(Err(panic)) => Called::Panicked(message_of(panic.as_ref())),
        Err(_) => Called::TimedOut(limit),
    }
}

impl Called {
    /// What it says about the upstream's health. A panic is the handler's own, and an attempt that
    /// called nobody, because its args were refused before, tells nothing.
    pub(crate) fn verdict(&self, context: &CallContext) -> Verdict {
        if context.usage().calls == 0 {
            return Verdict::Unknown;
        }
        match self {
            Self::Done(_) | Self::Error(JobError::Permanent(_)) => Verdict::Healthy,
            Self::TimedOut(_) | Self::Error(JobError::Retryable(_)) => Verdict::Failing,
            Self::Error(JobError::RateLimited { .. }) => Verdict::RateLimited,
            Self::Panicked(_) | Self::Error(JobError::Snooze { .. } | JobError::NotHere(_)) => {
                Verdict::Unknown
            }
        }
    }

    /// Whether no call was made, because it is not the time for one, or not the process.
    pub(crate) fn is_put_off(&self, context: &CallContext) -> bool {
        context.usage().calls == 0
            && matches!(self, Self::Error(JobError::Snooze { .. } | JobError::NotHere(_)))
    }

    /// What the handler heard of its upstream's quota; the wait it named itself counts first.
    pub(crate) fn feedback(&self, context: &CallContext) -> Feedback {
        let heard = context.feedback();
        match self {
            Self::Error(JobError::RateLimited { retry_after: Some(wait), .. }) => {
                Feedback { retry_after: Some(*wait), ..heard }
            }
            _ => heard,
        }
    }

    /// What it means for a job that no other worker can have.
    pub(crate) fn outcome(self) -> Outcome {
        let failed = |class, error| Outcome::Failed { class, error };
        match self {
            Self::Done(done) => Outcome::Success(done),
            Self::TimedOut(limit) => {
                failed(FailureClass::Timeout, format!("no answer within {} s", limit.as_secs_f64()))
            }
            Self::Panicked(message) => {
                failed(FailureClass::Panic, format!("the handler panicked: {message}"))
            }
            Self::Error(JobError::Retryable(error)) => failed(FailureClass::Retryable, error),
            Self::Error(JobError::Permanent(error)) => failed(FailureClass::Permanent, error),
            Self::Error(JobError::Snooze { delay, why }) => not_now(delay, &why),
            Self::Error(JobError::NotHere(why)) => {
                let error = format!("{why}; then redrive the job, or submit the input again");
                failed(FailureClass::Permanent, error)
            }
            Self::Error(JobError::RateLimited { retry_after, message }) => {
                not_now(pause_after(retry_after), &message)
            }
        }
    }
}

pub(crate) fn not_now(delay: Duration, why: &str) -> Outcome {
    Outcome::NotNow { delay, why: why.into() }
}

fn message_of(panic: &(dyn std::any::Any + Send)) -> String {
    panic
        .downcast_ref::<&str>()
        .map(ToString::to_string)
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "no message".into())
}

#[cfg(test)]
mod tests {
    use fleetline_shared::domain::JobId;
    use tokio_util::sync::CancellationToken;

    use super::*;

    fn context(calls: usize) -> CallContext {
        let context = CallContext::new(JobId::new(), 1, CancellationToken::new());
        (0..calls).for_each(|_| context.begin_call().unwrap());
        context
    }

    #[test]
    fn only_calls_tell_of_health() {
        let limited = || JobError::RateLimited { retry_after: None, message: "m".into() };
        let snooze = || JobError::Snooze { delay: Duration::ZERO, why: "w".into() };
        for (called, verdict) in [
            (Called::Error(JobError::Permanent("p".into())), Verdict::Healthy),
            (Called::Error(JobError::Retryable("r".into())), Verdict::Failing),
            (Called::TimedOut(Duration::ZERO), Verdict::Failing),
            (Called::Error(limited()), Verdict::RateLimited),
            (Called::Error(snooze()), Verdict::Unknown),
            (Called::Error(JobError::NotHere("n".into())), Verdict::Unknown),
            (Called::Panicked("p".into()), Verdict::Unknown),
        ] {
            assert_eq!(called.verdict(&context(1)), verdict);
            assert_eq!(called.verdict(&context(0)), Verdict::Unknown, "{verdict:?} without a call");
        }
    }

    #[test]
    fn only_what_was_put_off_before_a_call_frees_its_slot() {
        let snooze = || Called::Error(JobError::Snooze { delay: Duration::ZERO, why: "w".into() });
        let refused = Called::Error(JobError::Permanent("p".into()));
        assert!(snooze().is_put_off(&context(0)));
        assert!(!snooze().is_put_off(&context(1)), "the call was made");
        assert!(Called::Error(JobError::NotHere("n".into())).is_put_off(&context(0)));
        assert!(
            !refused.is_put_off(&context(0)),
            "a handler that tells nothing of its calls may have made one"
        );
    }
}
