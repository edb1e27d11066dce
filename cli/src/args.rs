//! The command line as clap sees it.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;

use crate::commands::simulate::SimulateArgs;

/// Work through thousands of slow, paid calls: each distinct one once, within your quota, with
/// one recorded result per job, whatever dies on the way.
#[derive(Debug, Parser)]
#[command(name = "fleetline", version, max_term_width = 100, after_help = EXAMPLES)]
pub struct Cli {
    /// What applies to every command.
    #[command(flatten)]
    pub global: GlobalArgs,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

const EXAMPLES: &str = "\
Examples:
  fleetline run order.xml --dry-run          show the jobs, calls and tokens, call nobody
  fleetline run order.xml                    offline analysis, results in fleetline.db
  OPENAI_API_KEY=... fleetline run order.xml the same with a model
  fleetline run app.log --out results.jsonl  one analysis per distinct message
  kubectl logs my-pod | fleetline run -      from a pipe
  fleetline facts                            what was found

Exit codes:
  0    all jobs succeeded
  1    bad input, or a file or server failed
  2    wrong arguments or configuration
  3    finished, but some jobs are dead (`fleetline dead list`) or were cancelled
  4    `run` gave up on upstreams that are down; the jobs are kept: `fleetline run --resume RUN`
  130  interrupted; the last line says how to go on";

/// Options of every command.
#[derive(Clone, Debug, Args)]
pub struct GlobalArgs {
    /// Database file [default: fleetline.db]
    #[arg(long, global = true, value_name = "PATH")]
    pub db: Option<PathBuf>,
    /// Work through the fleet's servers instead of a database file
    #[arg(long, global = true, conflicts_with = "db")]
    pub fleet: bool,
    /// Configuration file [default: ./fleetline.toml, else ~/.config/fleetline/config.toml]
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Print JSON for programs instead of tables for people
    #[arg(long, global = true)]
    pub json: bool,
    /// More log lines on stderr; twice for all
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,
    /// No progress, no hints
    #[arg(short, long, global = true)]
    pub quiet: bool,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Analyse a file: every XML node, or every distinct log message, once
    #[command(after_help = RUN_EXAMPLES)]
    Run(RunArgs),
    /// Hand a file to the fleet and go; `watch` follows it
    #[command(after_help = SUBMIT_EXAMPLES)]
    Submit(SubmitArgs),
    /// Follow a run of the fleet until it is finished
    #[command(after_help = "\
Examples:
  fleetline watch
  fleetline watch 0199aaaa --json | jq .run.counts

Ctrl-C ends the watching, not the run.")]
    Watch(WatchArgs),
    /// Cancel a run, or one job of it
    #[command(after_help = "\
Examples:
  fleetline cancel 7f3a --fleet
  fleetline cancel latest --job 41e0

`latest` is the newest run of `run.tenant`, whoever submitted it.

What waits is cancelled at once, and what is handed out before its call or after a failed attempt. A
call that is under way is paid for, so its result is kept. A cancelled run takes no more jobs.")]
    Cancel(CancelArgs),
    /// Front door and engine of the fleet: HTTP and AMQP intake, dispatcher, sweeper, events
    #[command(after_help = SERVE_EXAMPLES)]
    Serve(ServeArgs),
    /// Work on the fleet's jobs until told to stop
    #[command(after_help = WORK_EXAMPLES)]
    Work(WorkArgs),
    /// Bring the fleet's database up to this version
    #[command(after_help = "\
Example:
  fleetline migrate && fleetline topology apply && fleetline doctor")]
    Migrate,
    /// Set up the broker's queues and policies, or check them
    Topology {
        /// What to do
        #[command(subcommand)]
        action: TopologyAction,
    },
    /// Check every connection, permission, version and policy, and say what to do
    Doctor,
    /// Make, list and revoke API keys of the HTTP intake
    Keys {
        /// What to do
        #[command(subcommand)]
        action: KeysAction,
    },
    /// A provider to try things on: strict limits, faults on a time line, a book of every call
    #[command(after_help = crate::commands::simulate::EXAMPLES)]
    Simulate(Box<SimulateArgs>),
    /// Show runs and what became of them
    Status(StatusArgs),
    /// List the jobs of a run
    Jobs(JobsArgs),
    /// Show how the upstreams stand: limits, use, pauses, and how long their backlog will take
    #[command(after_help = "\
Examples:
  fleetline upstreams --fleet
  fleetline upstreams --fleet --watch
  fleetline upstreams --fleet --json | jq '.upstreams[].finish_in_ms'

Of a database file, only limits and backlog are known: the rest is in the process that works on it.")]
    Upstreams(UpstreamsArgs),
    /// Say what a job waits for, and when it will probably run
    #[command(after_help = "\
Examples:
  fleetline explain 41e0 --fleet
  fleetline jobs latest --state ready --json | head -1 | jq -r .job_id | xargs fleetline explain")]
    Explain(ExplainArgs),
    /// Print a run's results, one JSON line per job
    Results(ResultsArgs),
    /// List what a run found: one row per fact
    Facts(FactsArgs),
    /// Show which log events count as the same: one JSON line per event
    #[command(after_help = "\
Examples:
  fleetline fingerprint app.log | head
  fleetline fingerprint app.log | jq -r .template | sort | uniq -c | sort -rn")]
    Fingerprint(FingerprintArgs),
    /// Look at dead jobs, and send them again
    Dead(DeadArgs),
    /// Check or print the configuration in force
    Config(ConfigArgs),
    /// Print a completion script for a shell
    #[command(after_help = "\
Example:
  fleetline completions bash > ~/.local/share/bash-completion/completions/fleetline")]
    Completions {
        /// The shell
        shell: Shell,
    },
}

const RUN_EXAMPLES: &str = "\
Examples:
  fleetline run order.xml --dry-run
  fleetline run order.xml --out results.jsonl
  fleetline run service.log --analyser openai --concurrency 5
  zcat app.log.gz | fleetline run - --pipeline logs

Running the same command again resumes an interrupted run, and pays for nothing twice. A log from a
pipe cannot be read again: its run goes on with --resume, with the jobs that were accepted.
Ctrl-C finishes what is under way and stops; a second Ctrl-C leaves at once.";

/// Options of `run`.
#[derive(Clone, Debug, Args)]
pub struct RunArgs {
    /// The input; `-` reads standard input
    #[arg(value_name = "FILE", required_unless_present = "resume")]
    pub file: Option<PathBuf>,
    /// How the input becomes jobs [default: guessed from the input]
    #[arg(long, value_enum)]
    pub pipeline: Option<Pipeline>,
    /// Who analyses [default: openai if a key or a base URL is set, else builtin]
    #[arg(long, value_enum)]
    pub analyser: Option<Analyser>,
    /// Calls at the same time [default: 10]
    #[arg(long, value_name = "N")]
    pub concurrency: Option<usize>,
    /// One call after the other
    #[arg(long, conflicts_with = "concurrency")]
    pub sequential: bool,
    /// Show the jobs, how many calls they need and about how many tokens; call nobody
    #[arg(long)]
    pub dry_run: bool,
    /// Write one JSON line per job to this file
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// Which XML subtrees are nodes: a node configuration
    #[arg(long, value_name = "FILE")]
    pub nodes: Option<PathBuf>,
    /// Go on with the accepted jobs of an unfinished run, without its input
    #[arg(long, value_name = "RUN", conflicts_with_all = ["file", "dry_run"])]
    pub resume: Option<String>,
}

const SUBMIT_EXAMPLES: &str = "\
Examples:
  fleetline submit order.xml
  zcat app.log.gz | fleetline submit - --pipeline logs
  run=$(fleetline submit order.xml --json | jq -r .id) && fleetline watch $run

The printed id means that the whole input was accepted. Submitting a file again while its run is
unfinished goes on with that run, unless it is cancelled. A log from a pipe cannot be read again:
its run stays open, until `run --fleet --resume RUN` or `cancel --fleet RUN` ends it.";

const SERVE_EXAMPLES: &str = "\
Examples:
  fleetline keys create --tenant acme --role submit
  fleetline serve --listen 0.0.0.0:8080
  curl -H \"Authorization: Bearer $KEY\" --data-binary @order.xml \\
       'http://localhost:8080/v1/runs?pipeline=discovery'

Several may run. SIGTERM ends it in order: nothing new is accepted, what was accepted is kept.";

const WORK_EXAMPLES: &str = "\
Examples:
  fleetline work
  fleetline work --kinds node.extract --concurrency 50

Workers keep no state: start as many as you like, anywhere, and end any of them. SIGTERM or Ctrl-C
drains: running calls may finish within worker.grace, the rest goes back. A call that
is broken off so is made, and paid for, again.";

/// Options of `submit`.
#[derive(Clone, Debug, Args)]
pub struct SubmitArgs {
    /// What to submit.
    #[command(flatten)]
    pub input: InputArgs,
}

/// An input and how it becomes jobs.
#[derive(Clone, Debug, Args)]
pub struct InputArgs {
    /// The input; `-` reads standard input
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// How the input becomes jobs [default: guessed from the input]
    #[arg(long, value_enum)]
    pub pipeline: Option<Pipeline>,
    /// Who analyses [default: openai if a key or a base URL is set, else builtin]
    #[arg(long, value_enum)]
    pub analyser: Option<Analyser>,
    /// Which XML subtrees are nodes: a node configuration
    #[arg(long, value_name = "FILE")]
    pub nodes: Option<PathBuf>,
}

/// Options of `watch`.
#[derive(Clone, Debug, Args)]
pub struct WatchArgs {
    /// Which run.
    #[command(flatten)]
    pub run: RunChoice,
}

/// Options of `cancel`.
#[derive(Clone, Debug, Args)]
pub struct CancelArgs {
    /// Id of the run, its first or last digits, or `latest`
    #[arg(value_name = "RUN")]
    pub run: String,
    /// Only this job of it: its id, or its first or last digits
    #[arg(long)]
    pub job: Option<String>,
}

/// Options of `serve`.
#[derive(Clone, Debug, Args)]
pub struct ServeArgs {
    /// Address of the HTTP intake [default: 127.0.0.1:8080]
    #[arg(long, value_name = "ADDRESS")]
    pub listen: Option<String>,
    /// Let everybody in without a key; for development on a loopback address
    #[arg(long)]
    pub open: bool,
    /// Where Prometheus reads the numbers of this process and of the fleet, at /metrics; without a key
    /// [default: nowhere]
    #[arg(long, value_name = "ADDRESS", value_parser = host_and_port)]
    pub metrics: Option<String>,
}

/// Options of `work`.
#[derive(Clone, Debug, Args)]
pub struct WorkArgs {
    /// Only jobs of these kinds [default: all]
    #[arg(long, value_delimiter = ',', value_name = "KIND,...")]
    pub kinds: Vec<String>,
    /// Calls at the same time [default: 10]
    #[arg(long, value_name = "N")]
    pub concurrency: Option<usize>,
    /// Where Prometheus reads the numbers of this process, at /metrics; without a key [default: nowhere]
    #[arg(long, value_name = "ADDRESS", value_parser = host_and_port)]
    pub metrics: Option<String>,
}

/// An address to listen on; whether it can be is for the system to say.
fn host_and_port(text: &str) -> Result<String, String> {
    let is_address = |(host, port): (&str, &str)| !host.is_empty() && port.parse::<u16>().is_ok();
    if text.rsplit_once(':').is_some_and(is_address) {
        return Ok(text.to_owned());
    }
    Err("give an address and a port, such as 127.0.0.1:9464 or 0.0.0.0:9464".to_owned())
}

/// What can be done with the broker's set-up.
#[derive(Clone, Copy, Debug, Subcommand)]
pub enum TopologyAction {
    /// Make what is missing: exchanges, queues, policies
    Apply,
    /// Say what is missing or different; changes nothing
    Check,
}

/// What can be done with API keys.
#[derive(Clone, Debug, Subcommand)]
pub enum KeysAction {
    /// Make one; it is shown once
    Create {
        /// Whose work it may see and submit
        #[arg(long, default_value = "default")]
        tenant: String,
        /// read, submit or admin: each may do what the ones before it may
        #[arg(long, default_value = "submit")]
        role: fleetline_shared::ports::Role,
        /// Which service uses it
        #[arg(long, default_value = "")]
        label: String,
    },
    /// List them; the keys themselves are not stored
    List,
    /// End one
    Revoke {
        /// Its id, as listed
        id: uuid::Uuid,
    },
}

/// How an input becomes jobs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Pipeline {
    /// XML subtrees
    Discovery,
    /// Log events
    Logs,
}

impl Pipeline {
    /// The name in the ledger.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Discovery => "discovery",
            Self::Logs => "logs",
        }
    }
}

/// Who analyses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Analyser {
    /// Offline rules
    Builtin,
    /// A server that speaks OpenAI's chat completions
    Openai,
}

impl Analyser {
    /// The name in configuration and dedup keys.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Builtin => "builtin",
            Self::Openai => "openai",
        }
    }
}

/// A run, by id.
#[derive(Clone, Debug, Args)]
pub struct RunChoice {
    /// Id of the run, its first or last digits, or `latest`
    #[arg(value_name = "RUN", default_value = "latest")]
    pub run: String,
}

/// Options of `status`.
#[derive(Clone, Debug, Args)]
pub struct StatusArgs {
    /// Only this run, in detail: its id, its first or last digits, or `latest`
    #[arg(value_name = "RUN")]
    pub run: Option<String>,
    /// Runs at most; 0 for all
    #[arg(long, default_value_t = 20)]
    pub limit: usize,
}

/// Options of `jobs`.
#[derive(Clone, Debug, Args)]
pub struct JobsArgs {
    /// Which run.
    #[command(flatten)]
    pub run: RunChoice,
    /// Only those in this state: ready, dispatched, attached, succeeded, dead, cancelled
    #[arg(long)]
    pub state: Option<fleetline_shared::domain::JobState>,
    /// Rows at most; 0 for all
    #[arg(long, default_value_t = 50)]
    pub limit: usize,
}

/// Options of `upstreams`.
#[derive(Clone, Debug, Args)]
pub struct UpstreamsArgs {
    /// Show them again every second, until Ctrl-C
    #[arg(long)]
    pub watch: bool,
}

/// Options of `explain`.
#[derive(Clone, Debug, Args)]
pub struct ExplainArgs {
    /// Id of the job, or its first or last digits
    #[arg(value_name = "JOB")]
    pub job: String,
}

/// Options of `results`.
#[derive(Clone, Debug, Args)]
pub struct ResultsArgs {
    /// Which run.
    #[command(flatten)]
    pub run: RunChoice,
}

/// Options of `facts`.
#[derive(Clone, Debug, Args)]
pub struct FactsArgs {
    /// Which run.
    #[command(flatten)]
    pub run: RunChoice,
    /// Only facts of this node type or error type
    #[arg(long, value_name = "NAME")]
    pub r#type: Option<String>,
    /// Rows at most; 0 for all
    #[arg(long, default_value_t = 50)]
    pub limit: usize,
}

/// Options of `fingerprint`.
#[derive(Clone, Debug, Args)]
pub struct FingerprintArgs {
    /// The log; `-` reads standard input
    pub file: PathBuf,
}

/// Options of `dead`.
#[derive(Clone, Debug, Args)]
pub struct DeadArgs {
    /// What to do [default: list]
    #[command(subcommand)]
    pub action: Option<DeadAction>,
}

/// What can be done with dead jobs.
#[derive(Clone, Debug, Subcommand)]
pub enum DeadAction {
    /// List them with their reasons
    List {
        /// Only of this run
        run: Option<String>,
    },
    /// Show one with its args and its attempts' errors
    Show {
        /// Id of the job, or its first or last digits
        job: String,
    },
    /// Send them again: a new run with new attempts, worked off at once
    Redrive {
        /// Ids of jobs, or their first or last digits
        #[arg(required_unless_present_any = ["run", "all"])]
        jobs: Vec<String>,
        /// All of this run
        #[arg(long, conflicts_with = "jobs")]
        run: Option<String>,
        /// All there are
        #[arg(long, conflicts_with_all = ["jobs", "run"])]
        all: bool,
    },
}

/// Options of `config`.
#[derive(Clone, Debug, Args)]
pub struct ConfigArgs {
    /// What to do
    #[command(subcommand)]
    pub action: ConfigAction,
}

/// What can be done with the configuration.
#[derive(Clone, Debug, Subcommand)]
pub enum ConfigAction {
    /// Say whether it is right, and list all problems if not
    Check,
    /// Print it with the origin of every value; secrets are hidden
    Print {
        /// Print the commented default file instead
        #[arg(long)]
        default: bool,
    },
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        super::Cli::command().debug_assert();
    }

    #[test]
    fn addresses_have_a_host_and_a_port() {
        for good in ["127.0.0.1:9464", "0.0.0.0:0", "localhost:80", "[::1]:9464"] {
            assert!(super::host_and_port(good).is_ok(), "{good}");
        }
        for bad in ["nonsense", "9464", ":9464", "localhost:http", "localhost:70000", ""] {
            assert!(super::host_and_port(bad).is_err(), "{bad}");
        }
    }
}
