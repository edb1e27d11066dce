//! Jobs that this worker is not set up for, where others may be.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use fleetline_shared::domain::Outcome;

use crate::call::not_now;

/// So long a job is left alone before somebody takes it again, this worker or another.
const LEFT_FOR: Duration = Duration::from_secs(30);
/// The same at least, however near its deadline is.
const LEAST: Duration = Duration::from_secs(1);

/// The other workers of the fleet.
#[derive(Default)]
pub(crate) struct Others {
    /// What the log has been told of.
    told: Mutex<BTreeSet<String>>,
}

impl Others {
    /// What becomes of a job that is left to them, of which they have half the time until its deadline;
    /// `why` says what this worker lacks.
    pub(crate) fn take_over(&self, why: &str, deadline: Option<Duration>) -> Outcome {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if told.insert(why.to_owned()) {
            tracing::warn!(why, "jobs go back for other workers: this one is not set up for them");
        }
        let half = deadline.map_or(LEFT_FOR, |left| (left / 2).max(LEAST));
        not_now(LEFT_FOR.min(half), &format!("left to another worker: {why}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trouble::log::Log;

    #[test]
    fn each_lack_is_told_once_and_others_have_time() {
        let (log, _logging) = Log::start();
        let others = Others::default();
        for (left, seconds) in [(None, 30), (Some(90), 30), (Some(20), 10), (Some(1), 1)] {
            for why in ["no key", "another model"] {
                let outcome = others.take_over(why, left.map(Duration::from_secs));
                let Outcome::NotNow { delay, why: said } = outcome else { panic!("{outcome:?}") };
                assert_eq!(delay.as_secs(), seconds, "{left:?} s left");
                assert!(said.contains(why), "{said}");
            }
        }
        assert_eq!((log.count("WARN"), log.count("no key")), (2, 1), "{}", log.text());
    }
}
