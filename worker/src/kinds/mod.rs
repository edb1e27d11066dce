//! The kinds: one file each, and one line each in [`Kinds::calling`].

pub mod http_json;
pub mod log_analyze;
pub mod node_extract;

use std::sync::Arc;
use std::time::Duration;

use fleetline_shared::domain::{AnalyserRef, Kind, KindPolicy, Registry};

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::analysers::openai::ChatClient;

pub use http_json::{Apis, HttpJson};
pub use log_analyze::LogAnalyze;
pub use node_extract::NodeExtract;

/// A kind whose work is done by one of several analysers.
pub trait Analysed: Kind {
    /// Those that are configured in this process.
    fn analysers(&self) -> Vec<AnalyserRef>;
}

/// The kinds that a process can run, and the analysers it has for them.
#[derive(Clone, Default)]
pub struct Kinds {
    registry: Registry,
    analysers: Vec<(&'static str, AnalyserRef)>,
}

impl Kinds {
    /// Every kind there is, without any API to call but `chat`'s.
    pub fn all(chat: Option<&Arc<ChatClient>>, policy: KindPolicy) -> Self {
        Self::calling(chat, Apis::new(), policy)
    }

    /// Every kind there is; `chat` adds the `openai` analyser to those that know it, and `http.json`
    /// calls the APIs.
    pub fn calling(chat: Option<&Arc<ChatClient>>, apis: Apis, policy: KindPolicy) -> Self {
        Self::default()
            .analysed(NodeExtract::new(chat, policy))
            .analysed(LogAnalyze::new(chat, policy))
            .with(HttpJson::new(apis, policy))
    }

    fn with(mut self, kind: impl Kind) -> Self {
        self.registry = self.registry.with(kind);
        self
    }

    fn analysed<K: Analysed>(mut self, kind: K) -> Self {
        self.analysers.extend(kind.analysers().into_iter().map(|choice| (K::NAME, choice)));
        self.with(kind)
    }

    /// For those who run jobs.
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// For those who send jobs again: the analysers of that kind; none if it knows no analysers.
    pub fn analysers(&self, kind: &str) -> Vec<&AnalyserRef> {
        self.analysers.iter().filter(|(of, _)| *of == kind).map(|(_, choice)| choice).collect()
    }

    /// For those who submit jobs: the analyser of that name for that kind, if it is configured.
    pub fn analyser(&self, kind: &str, name: &str) -> Option<&AnalyserRef> {
        let wanted = |(of, choice): &&(&str, AnalyserRef)| *of == kind && choice.name == name;
        self.analysers.iter().find(wanted).map(|(_, choice)| choice)
    }
}

/// The model of the analyser that args name; the rest of them is only skipped.
fn model_of(args: &RawValue) -> Option<String> {
    #[derive(Deserialize)]
    struct Named {
        analyser: AnalyserRef,
    }
    serde_json::from_str::<Named>(args.get()).ok()?.analyser.model
}

/// How long an attempt with this timeout may last: it outlives its call, so that a slow call is told by its own
/// error, and there is room to parse and check the answer.
pub fn longest_attempt(timeout: Duration, longest_call: Option<Duration>) -> Duration {
    longest_call.map_or(timeout, |call| timeout.max(call + call / 10 + Duration::from_secs(1)))
}

fn lasting(policy: KindPolicy, longest_call: Option<Duration>) -> KindPolicy {
    KindPolicy { timeout: longest_attempt(policy.timeout, longest_call), ..policy }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_here_is_a_registered_kind() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src/kinds");
        let mut files: Vec<String> = std::fs::read_dir(folder)
            .expect("the folder of kinds")
            .map(|entry| entry.expect("an entry").path())
            .filter(|path| path.extension().is_some_and(|extension| extension == "rs"))
            .map(|path| path.file_stem().expect("a name").to_string_lossy().replace('_', "."))
            .filter(|name| name != "mod")
            .collect();
        files.sort();
        let kinds = Kinds::all(None, KindPolicy::default());
        assert_eq!(files, kinds.registry().names().collect::<Vec<_>>());
    }

    #[test]
    fn builtin_is_always_there_and_openai_only_if_configured() {
        let kinds = Kinds::all(None, KindPolicy::default());
        for kind in [NodeExtract::NAME, LogAnalyze::NAME] {
            assert_eq!(kinds.analyser(kind, "builtin").expect("builtin").model, None);
            assert_eq!(kinds.analyser(kind, "openai"), None);
        }
    }
}
