//! How inputs become jobs.

pub mod discovery;

use std::time::Duration;

use fleetline_shared::domain::AnalyserRef;

/// What all jobs of a run have in common.
#[derive(Clone, Debug)]
pub struct JobTemplate {
    /// Who is to do the work.
    pub analyser: AnalyserRef,
    /// Counted attempts before a job is dead.
    pub max_attempts: u16,
    /// How long after submission a job may still start; `None`: no limit.
    pub deadline: Option<Duration>,
    /// How long a result may be reused; `None`: for ever.
    pub fresh_for: Option<Duration>,
    /// Expected tokens of one answer.
    pub output_tokens: u64,
    /// Tokens of the prompt around the input.
    pub prompt_tokens: u64,
}
