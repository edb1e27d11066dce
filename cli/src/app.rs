//! What every command shares: the settings in force and the looks of the output.

use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::path::Path;
use std::time::Duration;

use fleetline_producer::sweeper::SweepOptions;
use fleetline_worker::WorkerOptions;

use crate::args::GlobalArgs;
use crate::config::{Config, Loaded};
use crate::engine::EngineOptions;

/// How long a failing ledger is tried again before a run stops.
const LEDGER_PATIENCE: Duration = Duration::from_secs(10);
/// A line's window follows the concurrency, but is never shorter than this.
const SMALLEST_WINDOW: usize = 16;

/// The settings of this process.
pub struct App {
    global: GlobalArgs,
    loaded: Loaded,
}

impl App {
    /// From the global flags and the loaded settings.
    pub fn new(global: GlobalArgs, loaded: Loaded) -> Self {
        Self { global, loaded }
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

    /// ` --db PATH` for commands that are shown, if this one was given a path.
    pub fn db_flag(&self) -> String {
        self.global.db.as_ref().map(|db| format!(" --db {}", db.display())).unwrap_or_default()
    }

    /// Whose work this is.
    pub fn tenant(&self) -> &str {
        &self.config().run.tenant
    }

    /// Whether output is for programs.
    pub fn json(&self) -> bool {
        self.global.json
    }

    /// Whether a progress line makes sense.
    pub fn shows_progress(&self) -> bool {
        !self.global.quiet && !self.global.json && std::io::stderr().is_terminal()
    }

    /// Tells people something on stderr.
    pub fn say(&self, text: &str) {
        if !self.global.quiet {
            eprintln!("{text}");
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
                patience: LEDGER_PATIENCE,
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
