//! The command line as clap sees it.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;

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
  fleetline run order.xml --dry-run          show the jobs and their price, call nobody
  fleetline run order.xml                    offline analysis, results in fleetline.db
  OPENAI_API_KEY=... fleetline run order.xml the same with a model
  fleetline run app.log --out results.jsonl  one analysis per distinct message
  kubectl logs my-pod | fleetline run -      from a pipe
  fleetline facts                            what was found

Exit codes:
  0    all jobs succeeded
  1    bad input, or a file or server failed
  2    wrong arguments or configuration
  3    finished, but some jobs are dead (`fleetline dead list`)
  130  interrupted; the same command resumes";

/// Options of every command.
#[derive(Clone, Debug, Args)]
pub struct GlobalArgs {
    /// Database file [default: fleetline.db]
    #[arg(long, global = true, value_name = "PATH")]
    pub db: Option<PathBuf>,
    /// Configuration file [default: ./fleetline.toml, if it exists]
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
    /// Show runs and what became of them
    Status(StatusArgs),
    /// List the jobs of a run
    Jobs(JobsArgs),
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

Running the same command again resumes an interrupted run, and pays for nothing twice.
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
    /// Runs at most
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
}
