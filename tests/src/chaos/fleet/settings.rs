//! The environment of the fleet's processes: short times, so that a test sees what is usually rare.

use std::path::Path;
use std::process::Command;

use super::Program;

/// What all fleets have in common. Later ones of the same name win.
const COMMON: [(&str, &str); 11] = [
    ("FLEETLINE_LEASES__TTL", "2s"),
    ("FLEETLINE_DISPATCH__POLL", "500ms"),
    ("FLEETLINE_DISPATCH__SWEEP_EVERY", "500ms"),
    ("FLEETLINE_DISPATCH__STALE_AFTER", "8s"),
    ("FLEETLINE_JOBS__TIMEOUT", "6s"),
    ("FLEETLINE_JOBS__BACKOFF_BASE", "100ms"),
    ("FLEETLINE_JOBS__BACKOFF_CAP", "1s"),
    ("FLEETLINE_OPENAI__TIMEOUT", "5s"),
    ("FLEETLINE_WORKER__GRACE", "10s"),
    // Servers that are down for long are the fault here, not the reason to give up.
    ("FLEETLINE_WORKER__LEDGER_PATIENCE", "5m"),
    ("OPENAI_API_KEY", "a-key"),
];

/// Settings of a fleet's processes.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    variables: Vec<(String, String)>,
}

impl Settings {
    pub(super) fn new(own: &[(&str, &str)]) -> Self {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        Self { variables: COMMON.iter().chain(own).map(owned).collect() }
    }

    /// The same with more.
    pub(super) fn with(&self, more: &[(&str, &str)]) -> Self {
        let more = more.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Self { variables: self.variables.iter().cloned().chain(more).collect() }
    }

    /// A command of the program that has these settings and no others.
    pub(super) fn command(&self, program: &Program, folder: &Path) -> Command {
        let mut command = Command::new(&program.0);
        command.current_dir(folder).env_clear().env("HOME", folder).envs(self.variables.iter().cloned());
        command
    }
}
