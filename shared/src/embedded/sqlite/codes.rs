//! How states and reasons are written in the file.

use crate::domain::{DeadReason, JobState, RunState};

pub(super) const READY: i64 = 0;
pub(super) const DISPATCHED: i64 = 1;
pub(super) const ATTACHED: i64 = 2;
pub(super) const SUCCEEDED: i64 = 3;
pub(super) const DEAD: i64 = 4;
pub(super) const CANCELLED: i64 = 5;

pub(super) const RUN_OPEN: i64 = 0;
pub(super) const RUN_RUNNING: i64 = 1;
pub(super) const RUN_FINISHED: i64 = 2;

pub(super) fn job_state(code: i64) -> Option<JobState> {
    JobState::ALL.into_iter().find(|state| job_code(*state) == code)
}

pub(super) fn job_code(state: JobState) -> i64 {
    match state {
        JobState::Ready => READY,
        JobState::Dispatched => DISPATCHED,
        JobState::Attached => ATTACHED,
        JobState::Succeeded => SUCCEEDED,
        JobState::Dead => DEAD,
        JobState::Cancelled => CANCELLED,
    }
}

pub(super) fn run_state(code: i64) -> Option<RunState> {
    match code {
        RUN_OPEN => Some(RunState::Open),
        RUN_RUNNING => Some(RunState::Running),
        RUN_FINISHED => Some(RunState::Finished),
        _ => None,
    }
}

const REASONS: [DeadReason; 5] = [
    DeadReason::Exhausted,
    DeadReason::Permanent,
    DeadReason::BadPayload,
    DeadReason::DeadlinePassed,
    DeadReason::CrashLoop,
];

pub(super) fn reason_code(reason: DeadReason) -> i64 {
    match reason {
        DeadReason::Exhausted => 0,
        DeadReason::Permanent => 1,
        DeadReason::BadPayload => 2,
        DeadReason::DeadlinePassed => 3,
        DeadReason::CrashLoop => 4,
    }
}

pub(super) fn dead_reason(code: i64) -> Option<DeadReason> {
    REASONS.into_iter().find(|reason| reason_code(*reason) == code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        for state in JobState::ALL {
            assert_eq!(job_state(job_code(state)), Some(state));
        }
        for reason in REASONS {
            assert_eq!(dead_reason(reason_code(reason)), Some(reason));
        }
        assert_eq!(job_state(99), None);
    }
}
