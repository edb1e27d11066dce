//! The settings as values: one struct per section of `default.toml`.
//!
//! No field has a default here: a key that `default.toml` lacks fails the tests.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use fleetline_worker::kinds::longest_attempt;
use serde::Deserialize;

use super::fleet::{Postgres, RabbitMq, Redis, Serve};
use super::inputs::{Discovery, Logs};
use super::openai::OpenAi;
use super::tenants::Tenant;
use super::upstream::Upstream;
use super::{numbers, text};

/// All settings.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// What a run is.
    pub run: Run,
    /// What one worker process does.
    pub worker: Worker,
    /// How jobs are handed out and found again.
    pub dispatch: Dispatch,
    /// Limits of jobs and their attempts.
    pub jobs: Jobs,
    /// Holds on dedup keys.
    pub leases: Leases,
    /// The fleet's ledger.
    pub postgres: Postgres,
    /// The fleet's broker.
    pub rabbitmq: RabbitMq,
    /// The fleet's leases and quotas.
    pub redis: Redis,
    /// The fleet's front door.
    pub serve: Serve,
    /// The model server.
    pub openai: OpenAi,
    /// What each upstream allows, by name.
    pub upstreams: BTreeMap<String, Upstream>,
    /// What is said of tenants, by name.
    pub tenants: BTreeMap<String, Tenant>,
    /// How XML is split.
    pub discovery: Discovery,
    /// How logs are read.
    pub logs: Logs,
}

impl Config {
    /// The analyser to use, with `auto` decided.
    pub fn analyser(&self) -> Analyser {
        match self.run.analyser {
            AnalyserChoice::OpenAi => Analyser::OpenAi,
            AnalyserChoice::Auto if self.openai.is_configured() => Analyser::OpenAi,
            AnalyserChoice::Auto | AnalyserChoice::Builtin => Analyser::Builtin,
        }
    }

    /// How long an attempt of any kind may take, and the setting that says so.
    pub fn longest_attempt(&self) -> (String, Duration) {
        let jobs = self.jobs.timeout;
        let openai = self.openai.is_configured().then(|| ("openai.timeout".to_owned(), self.openai.timeout));
        let apis = self.upstreams.iter().filter(|(_, upstream)| upstream.base_url.is_some());
        let apis = apis.map(|(name, upstream)| (format!("upstreams.{name}.timeout"), upstream.timeout));
        let calls =
            openai.into_iter().chain(apis).map(|(key, call)| (key, longest_attempt(jobs, Some(call))));
        // Of equal ones the last.
        let longest = calls.chain([("jobs.timeout".to_owned(), jobs)]).max_by_key(|(_, attempt)| *attempt);
        longest.expect("there is one at least")
    }
}

/// `[run]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Run {
    /// Who analyses, as configured; [`Config::analyser`] decides.
    pub analyser: AnalyserChoice,
    /// The ledger's file.
    #[serde(deserialize_with = "text::path")]
    pub db: PathBuf,
    /// Whose work this is.
    #[serde(deserialize_with = "text::tenant")]
    pub tenant: String,
    /// Whether the fleet's servers are used instead of the file.
    pub fleet: bool,
    /// How long a run waits for an upstream that is down; `None`: for ever.
    #[serde(deserialize_with = "text::never_or_duration")]
    pub give_up_after: Option<Duration>,
}

/// Who analyses, as configured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AnalyserChoice {
    /// The model server if one is configured, else the rules.
    Auto,
    /// The offline rules.
    Builtin,
    /// The model server.
    OpenAi,
}

/// Who analyses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Analyser {
    /// The offline rules.
    Builtin,
    /// The model server.
    OpenAi,
}

/// `[worker]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Worker {
    /// Jobs at the same time, from 1.
    #[serde(deserialize_with = "numbers::whole::<_, 1, 100_000, _>")]
    pub concurrency: usize,
    /// How long a drain waits for running jobs; zero gives them back at once.
    #[serde(deserialize_with = "text::duration_or_zero")]
    pub grace: Duration,
    /// Name of the process for operators; `None`: that of its host.
    #[serde(deserialize_with = "text::auto_or_name")]
    pub name: Option<String>,
    /// How long a failing ledger is tried again before the work stops.
    #[serde(deserialize_with = "text::duration")]
    pub ledger_patience: Duration,
}

/// `[dispatch]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Dispatch {
    /// Jobs waiting on a line; `None` follows the concurrency.
    #[serde(deserialize_with = "numbers::auto_or_whole::<_, 1, 1_000_000, _>")]
    pub window: Option<usize>,
    /// The safety net beside the signals.
    #[serde(deserialize_with = "text::duration")]
    pub poll: Duration,
    /// Time between two looks for lost jobs.
    #[serde(deserialize_with = "text::duration")]
    pub sweep_every: Duration,
    /// Age at which a dispatched job is lost.
    #[serde(deserialize_with = "text::duration")]
    pub stale_after: Duration,
    /// Silence after which nobody reads a run's input any more.
    #[serde(deserialize_with = "text::duration")]
    pub left_after: Duration,
    /// Losses after which a job is dead.
    #[serde(deserialize_with = "numbers::whole::<_, 1, 10_000, _>")]
    pub max_losses: u16,
}

/// `[jobs]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Jobs {
    /// Counted attempts before a job is dead.
    #[serde(deserialize_with = "numbers::whole::<_, 1, 1_000, _>")]
    pub max_attempts: u16,
    /// Upper bound of the first wait.
    #[serde(deserialize_with = "text::duration")]
    pub backoff_base: Duration,
    /// Upper bound of any wait.
    #[serde(deserialize_with = "text::duration")]
    pub backoff_cap: Duration,
    /// Longest attempt.
    #[serde(deserialize_with = "text::duration")]
    pub timeout: Duration,
    /// Longest life of a job from its submission.
    #[serde(deserialize_with = "text::optional_duration")]
    pub deadline: Option<Duration>,
    /// How long results are reused; `None`: forever.
    #[serde(deserialize_with = "text::forever_or_duration")]
    pub fresh_for: Option<Duration>,
}

/// `[leases]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Leases {
    /// Life of a hold that nobody renews.
    #[serde(deserialize_with = "text::duration")]
    pub ttl: Duration,
}
