//! Analysers: who answers a kind's question. Each kind has one trait object per analyser, and the
//! job's args say which one it is for.

pub mod builtin;
mod offline;
pub mod openai;

use std::collections::BTreeMap;

use async_trait::async_trait;
use fleetline_shared::domain::{AnalyserRef, CallContext, JobError};

pub use offline::Builtin;

/// Answers one question about one input.
#[async_trait]
pub trait Analyser<Input, Answer>: Send + Sync {
    /// Name, model and version: part of the dedup key of everything it answers.
    fn reference(&self) -> AnalyserRef;

    /// The answer. Paid calls are counted in the context.
    async fn analyse(&self, input: &Input, context: &CallContext) -> Result<Answer, JobError>;
}

/// The analysers that this process has for one kind, by name.
pub struct Analysers<Input, Answer>(BTreeMap<String, Box<dyn Analyser<Input, Answer>>>);

impl<Input, Answer> Analysers<Input, Answer> {
    /// From a list; of two with the same name the later one counts.
    pub fn new(analysers: Vec<Box<dyn Analyser<Input, Answer>>>) -> Self {
        Self(analysers.into_iter().map(|analyser| (analyser.reference().name, analyser)).collect())
    }

    /// What jobs for the analyser of that name must refer to.
    pub fn reference(&self, name: &str) -> Option<AnalyserRef> {
        self.0.get(name).map(|analyser| analyser.reference())
    }

    /// The analyser that a job asks for. Another one's answer would be stored under a key that
    /// promises this one's, so there is no substitute.
    pub fn find(&self, wanted: &AnalyserRef) -> Result<&dyn Analyser<Input, Answer>, JobError> {
        let Some(analyser) = self.0.get(&wanted.name) else {
            return Err(JobError::Permanent(format!(
                "the job asks for analyser `{}`, which is not configured here: set its key or base URL, \
                 then redrive the job",
                wanted.name
            )));
        };
        let here = analyser.reference();
        if here != *wanted {
            return Err(JobError::Permanent(format!(
                "the job asks for {}, this process has {}: configure the same model and version, or run \
                 the input again",
                describe(wanted),
                describe(&here)
            )));
        }
        Ok(analyser.as_ref())
    }
}

fn describe(analyser: &AnalyserRef) -> String {
    let model = analyser.model.as_deref().map(|model| format!(" with model {model}")).unwrap_or_default();
    format!("`{}`{model}, version {}", analyser.name, analyser.version)
}
