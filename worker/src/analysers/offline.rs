//! The built-in rules as analysers.

use async_trait::async_trait;
use fleetline_shared::domain::{AnalyserRef, CallContext, JobError, LogArgs, NodeArgs};

use super::{Analyser, builtin};
use crate::answers::{LogAnswer, NodeAnswer};

/// Rules that need no network, no key and no money.
#[derive(Clone, Copy, Debug, Default)]
pub struct Builtin;

fn reference() -> AnalyserRef {
    AnalyserRef { name: "builtin".into(), model: None, version: builtin::VERSION.into() }
}

#[async_trait]
impl Analyser<NodeArgs, NodeAnswer> for Builtin {
    fn reference(&self) -> AnalyserRef {
        reference()
    }

    async fn analyse(&self, input: &NodeArgs, _context: &CallContext) -> Result<NodeAnswer, JobError> {
        builtin::analyse_node(input).map_err(JobError::Permanent)
    }
}

#[async_trait]
impl Analyser<LogArgs, LogAnswer> for Builtin {
    fn reference(&self) -> AnalyserRef {
        reference()
    }

    async fn analyse(&self, input: &LogArgs, _context: &CallContext) -> Result<LogAnswer, JobError> {
        Ok(builtin::analyse_log(input))
    }
}
