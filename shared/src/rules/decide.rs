//! Outcome to decision: the only place that says what follows from what.

use std::time::Duration;

use crate::domain::{DeadReason, Decision, FailureClass, Outcome};
use crate::rules::Backoff;

/// Where a job stands when its attempt ends.
#[derive(Clone, Copy, Debug)]
pub struct Standing {
    /// Counted attempts before this one.
    pub attempts: u16,
    /// Counted attempts before it is dead.
    pub max_attempts: u16,
    /// Time left until its deadline, if it has one.
    pub time_left: Option<Duration>,
}

/// What the ledger does about an outcome. `random` is from [0, 1).
///
/// | outcome | attempt counted | decision |
/// |---|---|---|
/// | success | - | succeed |
/// | retryable, timeout, panic | yes | retry with back-off; at the maximum: die (exhausted) |
/// | crash | yes | the same; at the maximum: die (crash loop) |
/// | permanent, bad payload | yes | die |
/// | not now | no | snooze; past the deadline: die |
/// | old result will do | no | reuse; if there is none: as not now |
/// | drained | no | snooze for no time: back to ready |
/// | superseded | no | ignore |
/// | cancelled | - | cancel |
pub fn decide(outcome: Outcome, standing: Standing, backoff: &Backoff, random: f64) -> Decision {
    match outcome {
        Outcome::Success(done) => Decision::Succeed(done),
        Outcome::Failed { class, error } => after_failure(class, error, standing, backoff, random),
        Outcome::NotNow { delay, why } => after_wait(delay, why, standing),
        Outcome::Old { delay, why } => {
            Decision::Reuse { why: why.clone(), otherwise: Box::new(after_wait(delay, why, standing)) }
        }
        Outcome::Drained => Decision::Snooze { delay: Duration::ZERO, why: "worker drained".into() },
        Outcome::Superseded => Decision::Ignore,
        Outcome::Cancelled => Decision::Cancel,
    }
}

fn after_failure(
    class: FailureClass,
    error: String,
    standing: Standing,
    backoff: &Backoff,
    random: f64,
) -> Decision {
    let attempt = standing.attempts.saturating_add(1);
    let reason = match class {
        FailureClass::Permanent => DeadReason::Permanent,
        FailureClass::BadPayload => DeadReason::BadPayload,
        FailureClass::Retryable | FailureClass::Timeout | FailureClass::Panic | FailureClass::Crash => {
            if attempt < standing.max_attempts {
                let delay = backoff.delay(attempt, random);
                if standing.time_left.is_none_or(|left| delay <= left) {
                    return Decision::Retry { delay, error };
                }
                return Decision::Die {
                    reason: DeadReason::DeadlinePassed,
                    error: format!("no time left for another attempt; the last one: {error}"),
                };
            }
            if class == FailureClass::Crash { DeadReason::CrashLoop } else { DeadReason::Exhausted }
        }
    };
    Decision::Die { reason, error }
}

fn after_wait(delay: Duration, why: String, standing: Standing) -> Decision {
    if standing.time_left.is_some_and(|left| delay > left) {
        return Decision::Die {
            reason: DeadReason::DeadlinePassed,
            error: format!("its deadline passes while it waits: {why}"),
        };
    }
    Decision::Snooze { delay, why }
}

#[cfg(test)]
mod tests {
    use serde_json::value::RawValue;

    use super::*;
    use crate::domain::Done;

    /// A decision in few words, to compare with a table.
    fn words(decision: &Decision) -> String {
        match decision {
            Decision::Succeed(_) => "succeed".into(),
            Decision::Retry { delay, .. } => format!("retry in {}s", delay.as_secs()),
            Decision::Snooze { delay, .. } => format!("snooze {}s", delay.as_secs()),
            Decision::Die { reason, .. } => format!("die {reason}"),
            Decision::Reuse { otherwise, .. } => format!("reuse or {}", words(otherwise)),
            Decision::Cancel => "cancel".into(),
            Decision::Ignore => "ignore".into(),
        }
    }

    fn failed(class: FailureClass) -> Outcome {
        Outcome::Failed { class, error: "it broke".into() }
    }

    fn wait(seconds: u64) -> Outcome {
        Outcome::NotNow { delay: Duration::from_secs(seconds), why: "quota".into() }
    }

    fn old(seconds: u64) -> Outcome {
        Outcome::Old { delay: Duration::from_secs(seconds), why: "the breaker is open".into() }
    }

    #[test]
    fn every_row_of_the_table() {
        use FailureClass::{BadPayload, Crash, Panic, Permanent, Retryable, Timeout};
        let success = || Outcome::Success(Done::new(RawValue::from_string("1".into()).unwrap()));
        // outcome, attempts before, seconds left, decision
        let table: Vec<(Outcome, u16, Option<u64>, &str)> = vec![
            (success(), 0, None, "succeed"),
            (success(), 2, Some(0), "succeed"),
            (failed(Retryable), 0, None, "retry in 5s"),
            (failed(Timeout), 0, None, "retry in 5s"),
            (failed(Panic), 1, None, "retry in 10s"),
            (failed(Crash), 1, None, "retry in 10s"),
            (failed(Crash), 2, None, "die crash_loop"),
            (failed(Retryable), 0, Some(4), "die deadline_passed"),
            (failed(Retryable), 0, Some(5), "retry in 5s"),
            (failed(Retryable), 2, None, "die exhausted"),
            (failed(Timeout), 2, None, "die exhausted"),
            (failed(Panic), 9, None, "die exhausted"),
            (failed(Retryable), u16::MAX, None, "die exhausted"),
            (failed(Permanent), 0, None, "die permanent"),
            (failed(BadPayload), 0, None, "die bad_payload"),
            (wait(30), 2, None, "snooze 30s"),
            (wait(30), 9, None, "snooze 30s"),
            (wait(30), 0, Some(30), "snooze 30s"),
            (wait(30), 0, Some(29), "die deadline_passed"),
            (old(30), 9, Some(30), "reuse or snooze 30s"),
            (old(30), 0, Some(29), "reuse or die deadline_passed"),
            (Outcome::Drained, 2, Some(0), "snooze 0s"),
            (Outcome::Superseded, 2, None, "ignore"),
            (Outcome::Cancelled, 0, None, "cancel"),
        ];
        let backoff = Backoff { base: Duration::from_secs(10), cap: Duration::from_secs(100) };
        for (outcome, attempts, left, expected) in table {
            let name = format!("{outcome:?} after {attempts} attempts, {left:?} s left");
            let standing = Standing { attempts, max_attempts: 3, time_left: left.map(Duration::from_secs) };
            assert_eq!(words(&decide(outcome, standing, &backoff, 0.5)), expected, "{name}");
        }
    }
}
