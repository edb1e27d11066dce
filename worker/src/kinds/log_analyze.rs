//! `log.analyze`: a log event in, its meaning out.

use fleetline_shared::domain::{CallContext, Done, JobError, Kind, KindPolicy, LogArgs};

use crate::analysers::Analysers;
use crate::answers::LogAnswer;

/// The kind. One result stands for all events with the same fingerprint.
pub struct LogAnalyze {
    /// Who can analyse.
    pub analysers: Analysers<LogArgs, LogAnswer>,
    /// Limits of an attempt.
    pub policy: KindPolicy,
}

impl Kind for LogAnalyze {
    const NAME: &'static str = "log.analyze";
    type Args = LogArgs;
    type Output = LogAnswer;

    async fn perform(&self, args: LogArgs, context: &CallContext) -> Result<Done<LogAnswer>, JobError> {
        let analyser = self.analysers.find(&args.analyser)?;
        let answer = analyser.analyse(&args, context).await?;
        Ok(Done { analyser: args.analyser.name, model: args.analyser.model, ..Done::new(answer) })
    }

    fn policy(&self) -> KindPolicy {
        self.policy
    }
}
