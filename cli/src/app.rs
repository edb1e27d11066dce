//! What every command shares: the settings in force and the looks of the output.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use fleetline_producer::discovery::DiscoveryOptions;
use fleetline_producer::logs::LogOptions;
use fleetline_producer::pipelines::JobTemplate;
use fleetline_producer::sweeper::SweepOptions;
use fleetline_shared::domain::Registry;
use fleetline_worker::WorkerOptions;
use fleetline_worker::kinds::Kinds;

use crate::args::{GlobalArgs, Pipeline};
use crate::config::{Config, Loaded};
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
}

impl App {
    /// From the global flags and the loaded settings.
    pub fn new(global: GlobalArgs, loaded: Loaded) -> Result<Self, CliError> {
        let kinds = wiring::kinds(&loaded.config)?;
        Ok(Self { global, loaded, kinds })
    }

    /// The kinds with the analysers of this process.
    pub fn registry(&self) -> &Registry {
        self.kinds.registry()
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

    /// ` --db PATH` or ` --fleet` for commands that are shown, if this one was given it.
    pub fn db_flag(&self) -> String {
        match &self.global.db {
            Some(db) => format!(" --db {}", db.display()),
            None if self.fleet() => " --fleet".to_owned(),
            None => String::new(),
        }
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
        if !self.global.quiet {
            tell(text);
        }
    }

    /// Losses after which a job is dead.
    pub fn max_losses(&self) -> u16 {
        self.config().dispatch.max_losses
    }

    /// Limits of the embedded engine.
    pub fn engine_options(&self) -> EngineOptions {
        let config = self.config();
        let concurrency = config.worker.concurrency;
        EngineOptions {
            worker: WorkerOptions {
                concurrency,
                grace: config.worker.grace,
                lease_ttl: config.leases.ttl,
                hold: config.upstreams.values().map(|upstream| upstream.hold).max().unwrap_or_default(),
                patience: config.worker.ledger_patience,
            },
            window: config.dispatch.window.unwrap_or((concurrency * 2).max(SMALLEST_WINDOW)),
            poll: config.dispatch.poll,
            sweep: SweepOptions {
                every: config.dispatch.sweep_every,
                stale_after: config.dispatch.stale_after,
                max_losses: config.dispatch.max_losses,
            },
            limits: config
                .upstreams
                .iter()
                .map(|(name, upstream)| (name.clone(), upstream.limits()))
                .collect::<BTreeMap<_, _>>(),
        }
    }
}
