//! Who does the thinking behind a kind: offline rules, or a model at the end of a paid call.

pub mod builtin;
pub mod openai;
mod text;
mod xml;

use std::time::Duration;

use async_trait::async_trait;
use fleetline_shared::domain::{AnalyserRef, CallContext, Estimate, JobError};

pub(crate) use text::{capped, one_line};

/// Turns one input into one output.
///
/// Name, model and version are part of the dedup key: equal ones must give equal work.
#[async_trait]
pub trait Analyser<Input, Output>: Send + Sync {
    /// `builtin` or `openai`.
    fn name(&self) -> &'static str;

    /// The model, where there is one.
    fn model(&self) -> Option<&str> {
        None
    }

    /// Version of the prompt or the rules. Changes whenever the same input may give another output.
    fn version(&self) -> &'static str;

    /// What a call for this input will probably use: all that is sent, and a usual answer. Zero for
    /// offline rules.
    fn estimate(&self, input: &Input) -> Estimate {
        let _ = input;
        Estimate::default()
    }

    /// How long one call may take; `None` for offline rules.
    fn call_timeout(&self) -> Option<Duration> {
        None
    }

    /// Does the work, with at most one paid call.
    async fn analyse(&self, input: &Input, context: &CallContext) -> Result<Output, JobError>;
}

/// The analysers of one kind that are configured in this process.
pub struct Analysers<Input, Output> {
    choices: Vec<Box<dyn Analyser<Input, Output>>>,
}

impl<Input, Output> Analysers<Input, Output> {
    /// Just this one.
    pub fn new(first: impl Analyser<Input, Output> + 'static) -> Self {
        Self { choices: vec![Box::new(first)] }
    }

    /// And this one, if it is configured.
    #[must_use]
    pub fn and(mut self, more: Option<impl Analyser<Input, Output> + 'static>) -> Self {
        self.choices.extend(more.map(|more| Box::new(more) as _));
        self
    }

    /// Exactly the one that a job asks for: its dedup key promises that one's work.
    pub fn get(&self, wanted: &AnalyserRef) -> Result<&dyn Analyser<Input, Output>, JobError> {
        self.find(wanted).ok_or_else(|| JobError::NotHere(self.not_configured(wanted)))
    }

    /// See [`Analyser::estimate`], of the one that a job asks for. The error names those that are
    /// configured, for people who submit jobs.
    pub fn estimate(&self, wanted: &AnalyserRef, input: &Input) -> Result<Estimate, String> {
        self.find(wanted).map(|choice| choice.estimate(input)).ok_or_else(|| {
            let here: Vec<String> = self.references().iter().map(show).collect();
            format!("`analyser`: {} is not configured here; there is {}", show(wanted), here.join(", "))
        })
    }

    /// The offline rules, in place of an analyser that calls somebody.
    pub fn stand_in(&self, wanted: &AnalyserRef) -> Option<AnalyserRef> {
        let mut here = self.choices.iter().map(|choice| reference(choice.as_ref()));
        here.find(|choice| choice.is_builtin() && !wanted.is_builtin())
    }

    /// All, as jobs name them in their args and dedup keys.
    pub fn references(&self) -> Vec<AnalyserRef> {
        self.choices.iter().map(AsRef::as_ref).map(reference).collect()
    }

    fn find(&self, wanted: &AnalyserRef) -> Option<&dyn Analyser<Input, Output>> {
        let is_wanted = |choice: &&dyn Analyser<Input, Output>| {
            choice.name() == wanted.name
                && choice.model() == wanted.model.as_deref()
                && choice.version() == wanted.version
        };
        self.choices.iter().map(AsRef::as_ref).find(is_wanted)
    }

    /// The longest that a call of any of them may take.
    pub fn longest_call(&self) -> Option<Duration> {
        self.choices.iter().filter_map(|choice| choice.call_timeout()).max()
    }

    fn not_configured(&self, wanted: &AnalyserRef) -> String {
        let here: Vec<String> = self.references().iter().map(show).collect();
        let same_name = self.choices.iter().find(|choice| choice.name() == wanted.name);
        let advice = match same_name {
            None => format!("configure `{}` in this process (section [{0}])", wanted.name),
            Some(other) if other.model() != wanted.model.as_deref() => {
                format!("set the model to `{}` in this process", wanted.model.as_deref().unwrap_or("none"))
            }
            Some(_) => "run the release that the job was submitted with".to_owned(),
        };
        format!("the job asks for analyser {}; this process has {}: {advice}", show(wanted), here.join(", "))
    }
}

fn reference<Input, Output>(analyser: &dyn Analyser<Input, Output>) -> AnalyserRef {
    AnalyserRef {
        name: analyser.name().to_owned(),
        model: analyser.model().map(str::to_owned),
        version: analyser.version().to_owned(),
    }
}

fn show(reference: &AnalyserRef) -> String {
    let model = reference.model.as_ref().map(|model| format!("model {model}, ")).unwrap_or_default();
    format!("{} ({model}version {})", reference.name, reference.version)
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Echo(&'static str, Option<&'static str>);

    #[async_trait]
    impl Analyser<String, String> for Echo {
        fn name(&self) -> &'static str {
            self.0
        }
        fn model(&self) -> Option<&str> {
            self.1
        }
        fn version(&self) -> &'static str {
            "1"
        }
        async fn analyse(&self, input: &String, _: &CallContext) -> Result<String, JobError> {
            Ok(input.clone())
        }
    }

    fn wanted(name: &str, model: Option<&str>, version: &str) -> AnalyserRef {
        AnalyserRef { name: name.into(), model: model.map(Into::into), version: version.into() }
    }

    #[test]
    fn a_job_gets_exactly_what_it_asks_for_or_hears_what_to_do() {
        let analysers = Analysers::new(Echo("builtin", None)).and(Some(Echo("openai", Some("m"))));
        for (wanted, expected) in [
            (wanted("builtin", None, "1"), Ok("builtin")),
            (wanted("openai", Some("m"), "1"), Ok("openai")),
            (wanted("openai", Some("other"), "1"), Err("set the model to `other`")),
            (wanted("builtin", None, "2"), Err("run the release")),
            (wanted("magic", None, "1"), Err("configure `magic` in this process")),
        ] {
            match (analysers.get(&wanted), expected) {
                (Ok(analyser), Ok(name)) => assert_eq!(analyser.name(), name),
                (Err(JobError::NotHere(said)), Err(part)) => assert!(said.contains(part), "{said}"),
                (got, _) => panic!("{wanted:?}: {:?}", got.map(Analyser::name)),
            }
        }
    }
}
