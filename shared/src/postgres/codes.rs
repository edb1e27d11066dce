//! How states and reasons are written in the tables.

use crate::domain::{DeadReason, JobState, RunState};

pub(super) const ATTACHED: i16 = 2;
pub(super) const SUCCEEDED: i16 = 3;
pub(super) const DEAD: i16 = 4;
pub(super) const CANCELLED: i16 = 5;

/// [`JobState::ALL`] is in the order of the codes.
pub(super) fn job_state(code: i16) -> Option<JobState> {
    JobState::ALL.get(usize::try_from(code).ok()?).copied()
}

pub(super) fn run_state(code: i16) -> Option<RunState> {
    [RunState::Open, RunState::Running, RunState::Finished].get(usize::try_from(code).ok()?).copied()
}

const REASONS: [DeadReason; 5] = [
    DeadReason::Exhausted,
    DeadReason::Permanent,
    DeadReason::BadPayload,
    DeadReason::DeadlinePassed,
    DeadReason::CrashLoop,
];

pub(super) fn reason_code(reason: DeadReason) -> i16 {
    match reason {
        DeadReason::Exhausted => 0,
        DeadReason::Permanent => 1,
        DeadReason::BadPayload => 2,
        DeadReason::DeadlinePassed => 3,
        DeadReason::CrashLoop => 4,
    }
}

pub(super) fn dead_reason(code: i16) -> Option<DeadReason> {
    REASONS.get(usize::try_from(code).ok()?).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        for reason in REASONS {
            assert_eq!(dead_reason(reason_code(reason)), Some(reason));
        }
        for (code, state) in [
            (ATTACHED, JobState::Attached),
            (SUCCEEDED, JobState::Succeeded),
            (DEAD, JobState::Dead),
            (CANCELLED, JobState::Cancelled),
        ] {
            assert_eq!(job_state(code), Some(state));
        }
        assert_eq!((job_state(-1), job_state(6), run_state(3), dead_reason(5)), (None, None, None, None));
    }
}
