//! The kinds. To add one: a file here, a line in [`registry`].

mod log_analyze;
mod node_extract;

use fleetline_shared::domain::{KindPolicy, LogArgs, NodeArgs, Registry};

use crate::analysers::Analysers;
use crate::answers::{LogAnswer, NodeAnswer};

pub use log_analyze::LogAnalyze;
pub use node_extract::NodeExtract;

/// All kinds, with the analysers that this process has.
pub fn registry(
    nodes: Analysers<NodeArgs, NodeAnswer>,
    logs: Analysers<LogArgs, LogAnswer>,
    policy: KindPolicy,
) -> Registry {
    Registry::default()
        .with(NodeExtract { analysers: nodes, policy })
        .with(LogAnalyze { analysers: logs, policy })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_file_is_registered() {
        let registry =
            registry(Analysers::new(Vec::new()), Analysers::new(Vec::new()), KindPolicy::default());
        let mut registered: Vec<_> = registry.names().map(|name| name.replace('.', "_")).collect();
        let mut files: Vec<_> = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/src/kinds"))
            .unwrap()
            .map(|file| file.unwrap().path().file_stem().unwrap().to_string_lossy().into_owned())
            .filter(|name| name != "mod")
            .collect();
        registered.sort();
        files.sort();
        assert_eq!(registered, files, "a kind `a.b` is in file `a_b.rs`, and is registered");
    }
}
