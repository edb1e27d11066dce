//! What args ask for, of whom, and for how much: known before their job is accepted.

use serde_json::value::RawValue;

use super::{AnalyserRef, DedupKey, Estimate, LogArgs, NodeArgs};
use crate::rules::{canonical_json, dedup_key};

/// What a job's args say about the job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Appraisal {
    /// Says which jobs ask for the same thing.
    pub dedup_key: DedupKey,
    /// The upstream whose quota the call takes; `None` for work that calls nobody.
    pub upstream: Option<String>,
    /// What the call will probably use.
    pub estimate: Estimate,
}

impl Appraisal {
    /// Of a kind that calls nobody, and for which args are the same if their JSON is: order of keys
    /// and blanks do not count. The error says what is wrong with the JSON, for people.
    pub fn of_whole(kind: &str, json: &RawValue) -> Result<Self, String> {
        let whole = canonical_json(json)?;
        Ok(Self { dedup_key: dedup_key(kind, [&*whole]), upstream: None, estimate: Estimate::default() })
    }
}

impl NodeArgs {
    /// Name of the kind that takes these args.
    pub const KIND: &'static str = "node.extract";

    /// See [`Appraisal`]. `estimate` is the analyser's.
    pub fn appraise(&self, estimate: Estimate) -> Appraisal {
        let AnalyserRef { name, model, version } = &self.analyser;
        // A model sees the XML alone. The built-in rules also use the context, so their answer to
        // the same XML may differ from one document to the next.
        let context = if self.analyser.is_builtin() {
            serde_json::to_string(&self.context).expect("a context is plain data")
        } else {
            String::new()
        };
        let parts = [name, model.as_deref().unwrap_or(""), version, &*self.xml, &*context];
        Appraisal { dedup_key: dedup_key(Self::KIND, parts), upstream: self.analyser.upstream(), estimate }
    }
}

impl LogArgs {
    /// Name of the kind that takes these args.
    pub const KIND: &'static str = "log.analyze";

    /// See [`Appraisal`]. `estimate` is the analyser's.
    pub fn appraise(&self, estimate: Estimate) -> Appraisal {
        let AnalyserRef { name, model, version } = &self.analyser;
        let parts = [name, model.as_deref().unwrap_or(""), version, &*self.logger, &*self.fingerprint];
        Appraisal { dedup_key: dedup_key(Self::KIND, parts), upstream: self.analyser.upstream(), estimate }
    }
}

impl AnalyserRef {
    /// Whether the built-in rules do the work, which call nobody.
    pub fn is_builtin(&self) -> bool {
        self.name == "builtin"
    }

    /// The upstream whose quota the calls take: named as the analyser.
    fn upstream(&self) -> Option<String> {
        (!self.is_builtin()).then(|| self.name.clone())
    }
}
