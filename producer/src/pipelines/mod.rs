//! How an input becomes jobs.

mod discovery;
mod logs;

use std::time::Duration;

use fleetline_shared::domain::{AnalyserRef, Estimate};

pub use discovery::split_xml;
pub use logs::split_logs;

/// What the jobs of one run have in common.
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
    /// Tokens an answer is expected to take.
    pub output_tokens: u64,
    /// Tokens of the prompt around the input.
    pub prompt_tokens: u64,
}

impl JobTemplate {
    /// What a call takes beside its input.
    fn overhead(&self) -> Estimate {
        Estimate { input_tokens: self.prompt_tokens, output_tokens: self.output_tokens }
    }
}
