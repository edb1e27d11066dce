//! What every command shares: the settings in force and the looks of the output.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use fleetline_producer::discovery::DiscoveryOptions;
use fleetline_producer::logs::LogOptions;
use fleetline_producer::pipelines::JobTemplate;
use fleetline_producer::sweeper::SweepOptions;
use fleetline_shared::domain::{Registry, Weights};
use fleetline_worker::kinds::Kinds;
use fleetline_worker::{Terms, WorkerOptions};

use crate::args::{GlobalArgs, Pipeline};
use crate::config::{self, Config, Loaded};
use crate::engine::EngineOptions;
use crate::exit::CliError;
use crate::present::tell;
use crate::ui::progress::Meter;
use crate::wiring;

/// Time between two progress lines where there is no terminal for a bar.
const METER_LINE: Duration = Duration::from_secs(10);
/// A line's window follows the concurrency, but is never shorter than this.
const SMALLEST_WINDOW: usize = 16;

/// The settings of this process.
pub struct App {
    global: GlobalArgs,
    loaded: Loaded,
    kinds: Kinds,
    process_name: String,
}

impl App {
    /// From the global flags and the loaded settings.
    pub fn new(global: GlobalArgs, loaded: Loaded) -> Result<Self, CliError> {
        let kinds = wiring::kinds(&loaded.config)?;
        let process_name = loaded.config.worker.name.clone().unwrap_or_else(host_name);
        Ok(Self { global, loaded, kinds, process_name })
    }

    /// The kinds with the analysers of this process.
    pub fn registry(&self) -> &Registry {
        self.kinds.registry()
    }

    /// The same with their analysers.
    pub fn kinds(&self) -> &Kinds {
        &self.kinds
    }

    /// What all jobs of a run have in common.
    pub fn job_template(&self, pipeline: Pipeline) -> Result<JobTemplate, CliError> {
        wiring::job_template(self.config(), &self.kinds, pipeline)
    }

    /// How XML is split.
    pub fn discovery_options(&self) -> Result<DiscoveryOptions, CliError> {
        wiring::discovery_options(&self.config().discovery)
    }

    /// How logs are read.
    pub fn log_options(&self) -> LogOptions {
        wiring::log_options(&self.config().logs)
    }

    /// The settings in force.
    pub fn config(&self) -> &Config {
        &self.loaded.config
    }

    /// The settings with their origins.
    pub fn loaded(&self) -> &Loaded {
        &self.loaded
    }

    /// The ledger's file.
    pub fn db(&self) -> &Path {
        &self.config().run.db
    }

    /// What commands that are shown need to speak of the same ledger: ` --db PATH` or ` --fleet`, and
    /// ` --config FILE`, if this one was given it.
    pub fn flags(&self) -> String {
        let ledger = match &self.global.db {
            Some(db) => format!(" --db {}", quoted(db)),
            None if self.fleet() => " --fleet".to_owned(),
            None => String::new(),
        };
        let config = self.global.config.as_ref().map(|file| format!(" --config {}", quoted(file)));
        ledger + &config.unwrap_or_default()
    }

    /// The command that makes a run, to show.
    pub fn first_command(&self) -> String {
        format!("fleetline {} FILE{}", if self.fleet() { "submit" } else { "run" }, self.flags())
    }

    /// Whether the fleet's servers are used instead of a file.
    pub fn fleet(&self) -> bool {
        self.config().run.fleet
    }

    /// Whose work this is.
    pub fn tenant(&self) -> &str {
        &self.config().run.tenant
    }

    /// Whether output is for programs.
    pub fn json(&self) -> bool {
        self.global.json
    }

    /// Shows the progress of a run, unless nobody wants it.
    pub fn meter(&self) -> Meter {
        if self.global.quiet || self.global.json { Meter::quiet() } else { Meter::on_stderr(METER_LINE) }
    }

    /// Tells people something on stderr.
    pub fn say(&self, text: &str) {
        self.teller()(text);
    }

    /// The same for parts that outlive this.
    pub fn teller(&self) -> impl Fn(&str) + Send + Sync + use<> {
        let quiet = self.global.quiet;
        move |text| {
            if !quiet {
                tell(text);
            }
        }
    }

    /// Losses after which a job is dead.
    pub fn max_losses(&self) -> u16 {
        self.config().dispatch.max_losses
    }

    /// Name of this process for operators.
    pub fn process_name(&self) -> &str {
        &self.process_name
    }

    /// Limits of a worker that is the only one.
    pub fn worker_options(&self) -> WorkerOptions {
        let config = self.config();
        WorkerOptions {
            concurrency: config.worker.concurrency,
            grace: config.worker.grace,
            lease_ttl: config.leases.ttl,
            renew_after: config.dispatch.stale_after.saturating_sub(config.longest_attempt().1) / 10,
            hold: config.upstreams.values().map(|upstream| upstream.hold).max().unwrap_or_default(),
            patience: config.worker.ledger_patience,
            alone: true,
        }
    }

    /// What is settled about the upstreams' calls.
    pub fn terms(&self) -> BTreeMap<String, Terms> {
        self.upstreams(config::Upstream::terms)
    }

    fn upstreams<T>(&self, of: impl Fn(&config::Upstream) -> T) -> BTreeMap<String, T> {
        self.config().upstreams.iter().map(|(name, upstream)| (name.clone(), of(upstream))).collect()
    }

    /// Limits of a sweeper.
    pub fn sweep_options(&self) -> SweepOptions {
        let dispatch = &self.config().dispatch;
        SweepOptions {
            every: dispatch.sweep_every,
            stale_after: dispatch.stale_after,
            max_losses: dispatch.max_losses,
            left_after: None,
        }
    }

    /// Limits of the embedded engine.
    pub fn engine_options(&self) -> EngineOptions {
        let config = self.config();
        let concurrency = config.worker.concurrency;
        EngineOptions {
            worker: self.worker_options(),
            window: config.dispatch.window.unwrap_or((concurrency * 2).max(SMALLEST_WINDOW)),
            poll: config.dispatch.poll,
            sweep: self.sweep_options(),
            limits: self.upstreams(config::Upstream::limits),
            terms: self.terms(),
            weights: self.weights(),
        }
    }

    /// How tenants share an upstream.
    pub fn weights(&self) -> Weights {
        self.config().tenants.iter().map(|(name, tenant)| (name.clone(), tenant.weight)).collect()
    }
}

/// As a shell reads it back.
pub(crate) fn quoted(path: &Path) -> String {
    let path = path.display().to_string();
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-+=:@%,~".contains(c);
    if path.chars().all(is_plain) { path } else { format!("'{}'", path.replace('\'', r"'\''")) }
}

/// The name of the host, which in Kubernetes is the pod's; elsewhere with the process's number, since
/// several may run on one host.
fn host_name() -> String {
    let file = std::fs::read_to_string("/proc/sys/kernel/hostname");
    let host = file.ok().or_else(|| std::env::var("HOSTNAME").ok()).unwrap_or_default();
    let host = if host.trim().is_empty() { "host" } else { host.trim() };
    match std::process::id() {
        1 => host.to_owned(),
        pid => format!("{host}-{pid}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_shown_as_a_shell_reads_them() {
        let table = [("a/b.db", "a/b.db"), ("my runs.db", "'my runs.db'"), ("it's", r"'it'\''s'")];
        for (path, shown) in table {
            assert_eq!(quoted(Path::new(path)), shown);
        }
    }
}
