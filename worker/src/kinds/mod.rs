//! The kinds: one file each, and one line each in [`Kinds::all`].

pub mod log_analyze;
pub mod node_extract;

use std::sync::Arc;
use std::time::Duration;

use fleetline_shared::domain::{AnalyserRef, Kind, KindPolicy, Registry};

use crate::analysers::openai::ChatClient;

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
    /// Every kind there is; `chat` adds the `openai` analyser to those that know it.
    pub fn all(chat: Option<&Arc<ChatClient>>, policy: KindPolicy) -> Self {
        Self::default().with(NodeExtract::new(chat, policy)).with(LogAnalyze::new(chat, policy))
    }

    fn with<K: Analysed>(mut self, kind: K) -> Self {
        self.analysers.extend(kind.analysers().into_iter().map(|choice| (K::NAME, choice)));
        self.registry = self.registry.with(kind);
        self
    }

    /// For those who run jobs.
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// For those who submit jobs: the analyser of that name for that kind, if it is configured.
    pub fn analyser(&self, kind: &str, name: &str) -> Option<&AnalyserRef> {
        let wanted = |(of, choice): &&(&str, AnalyserRef)| *of == kind && choice.name == name;
        self.analysers.iter().find(wanted).map(|(_, choice)| choice)
    }
}

/// Room for parsing and checking an answer after the call.
const AROUND_THE_CALL: Duration = Duration::from_secs(10);

/// An attempt outlives its call, so that a slow call is told by its own error.
fn lasting(policy: KindPolicy, longest_call: Option<Duration>) -> KindPolicy {
    let timeout = longest_call.map_or(policy.timeout, |call| policy.timeout.max(call + AROUND_THE_CALL));
    KindPolicy { timeout, ..policy }
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
        for kind in kinds.registry().names() {
            assert_eq!(kinds.analyser(kind, "builtin").expect("builtin").model, None);
            assert_eq!(kinds.analyser(kind, "openai"), None);
        }
    }
}
