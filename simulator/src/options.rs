//! What a simulator is told.

use std::net::SocketAddr;
use std::time::Duration;

use crate::{Distribution, Fault, HeaderStyle, Limits};

/// What a simulator is told.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where calls are served; port 0 takes a free one.
    pub listen: SocketAddr,
    /// A second place for the ledger and the faults, which no fault touches.
    pub control: Option<SocketAddr>,
    /// What callers are held to.
    pub limits: Limits,
    /// Whose headers tell of the limits.
    pub headers: HeaderStyle,
    /// From the whole request to the begin of its answer.
    pub latency: Distribution<Duration>,
    /// Tokens that an answer is said to have; `None` counts those of its text.
    pub output_tokens: Option<Distribution<u32>>,
    /// What is drawn follows from this and from the number of the call.
    pub seed: u64,
    /// Faults, their times counted from the start.
    pub faults: Vec<Fault>,
    /// Calls in the ledger; older ones are left out.
    pub ledger_limit: usize,
}

impl Options {
    /// No limits, no faults, answers at once.
    pub fn new(listen: SocketAddr) -> Self {
        Self {
            listen,
            control: None,
            limits: Limits::default(),
            headers: HeaderStyle::OpenAi,
            latency: Distribution::Fixed(Duration::ZERO),
            output_tokens: None,
            seed: 0,
            faults: Vec::new(),
            ledger_limit: 500_000,
        }
    }
}
