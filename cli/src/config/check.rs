//! Values that are fine alone and contradict each other.

use std::time::Duration;

use fleetline_producer::submit::SIGN_EVERY;

use super::openai::{NOT_CONFIGURED, PUBLIC_URL};
use super::problems::Problem;
use super::sections::{AnalyserChoice, Config};
use super::upstream;

/// All contradictions.
pub(super) fn contradictions(config: &Config) -> Vec<Problem> {
    let mut found = Found(Vec::new());
    database(config, &mut found);
    times(config, &mut found);
    readers(config, &mut found);
    openai(config, &mut found);
    sizes(config, &mut found);
    serve(config, &mut found);
    upstream::check::upstreams(config, &mut found);
    found.0
}

/// What contradicts what.
pub(super) struct Found(Vec<Problem>);

impl Found {
    pub(super) fn when<const N: usize>(
        &mut self,
        contradiction: bool,
        keys: [impl Into<String>; N],
        message: impl FnOnce() -> String,
    ) {
        if contradiction {
            let keys = keys.into_iter().map(Into::into).collect();
            self.0.push(Problem { from: String::new(), keys, message: message() });
        }
    }
}

/// Paths that SQLite takes for something else than a file.
fn database(config: &Config, found: &mut Found) {
    let db = config.run.db.to_string_lossy();
    let is_no_file = db == ":memory:" || db.starts_with("file:");
    found.when(is_no_file, ["run.db"], || {
        format!("`{db}` is no file, and what is paid for must be kept: give the path of a file")
    });
}

fn times(config: &Config, found: &mut Found) {
    let (jobs, dispatch) = (&config.jobs, &config.dispatch);
    found.when(jobs.backoff_base > jobs.backoff_cap, ["jobs.backoff_base", "jobs.backoff_cap"], || {
        format!(
            "the first wait, {}, is longer than the longest, {}",
            show(jobs.backoff_base),
            show(jobs.backoff_cap)
        )
    });
    found.when(
        jobs.deadline.is_some_and(|deadline| deadline < jobs.timeout),
        ["jobs.deadline", "jobs.timeout"],
        || format!("the deadline is shorter than one attempt may take, {}", show(jobs.timeout)),
    );
    let (key, attempt) = config.longest_attempt();
    found.when(dispatch.stale_after <= attempt, ["dispatch.stale_after", key.as_str()], || {
        format!(
            "a running job would count as lost, and be paid for again: stale_after must be longer than an attempt \
             may take, {}",
            show(attempt)
        )
    });
}

/// Signs of a reader that may be lost or late.
const SIGNS: u32 = 3;

fn readers(config: &Config, found: &mut Found) {
    let least = SIGN_EVERY * SIGNS;
    found.when(config.dispatch.left_after < least, ["dispatch.left_after"], || {
        format!(
            "an input that is still read would count as left: its reader is heard of each {}, so give {} at least",
            show(SIGN_EVERY),
            show(least)
        )
    });
}

fn openai(config: &Config, found: &mut Found) {
    let openai = &config.openai;
    found.when(
        openai.api_key.is_some() && openai.api_key_file.is_some(),
        ["openai.api_key", "openai.api_key_file"],
        || "both are set; set one".to_owned(),
    );
    found.when(
        openai.api_version.is_some() != openai.deployment.is_some(),
        ["openai.api_version", "openai.deployment"],
        || "Azure needs both; other servers need neither".to_owned(),
    );
    found.when(
        openai.deployment.is_some() && openai.base_url == PUBLIC_URL,
        ["openai.deployment", "openai.base_url"],
        || "a deployment is Azure's: set base_url to https://NAME.openai.azure.com/openai".to_owned(),
    );
    found.when(
        config.run.analyser == AnalyserChoice::OpenAi && !openai.is_configured(),
        ["run.analyser", "openai.api_key"],
        || NOT_CONFIGURED.to_owned(),
    );
}

fn sizes(config: &Config, found: &mut Found) {
    let (worker, dispatch, discovery, logs) =
        (&config.worker, &config.dispatch, &config.discovery, &config.logs);
    found.when(
        dispatch.window.is_some_and(|window| window < worker.concurrency),
        ["dispatch.window", "worker.concurrency"],
        || format!("a window below the concurrency, {}, leaves workers idle", worker.concurrency),
    );
    found.when(
        discovery.max_subtree_kb > discovery.max_node_mb * 1024,
        ["discovery.max_subtree_kb", "discovery.max_node_mb"],
        || format!("nodes are refused above {} MiB, before they would be split", discovery.max_node_mb),
    );
    found.when(logs.fields.message.is_empty(), ["logs.fields.message", "logs.format"], || {
        "a JSON event without a message cannot be analysed: name at least one path".to_owned()
    });
}

fn serve(config: &Config, found: &mut Found) {
    let serve = &config.serve;
    let lets_in = serve.open && !serve.listen.ip().is_loopback();
    found.when(lets_in, ["serve.open", "serve.listen"], || {
        format!(
            "open lets everybody in, so it is for loopback addresses only, not for {}: make keys with `fleetline keys \
             create`",
            serve.listen
        )
    });
}

fn show(duration: Duration) -> humantime::FormattedDuration {
    humantime::format_duration(duration)
}
