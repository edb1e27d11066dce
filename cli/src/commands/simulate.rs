//! `fleetline simulate`: a provider to try things on.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};
use fleetline_simulator::{
    Distribution, Fault, HeaderStyle, Limits, Options, Rate, Shape, Simulator, parse_script,
};

use crate::exit::CliError;
use crate::present::{tell, write_text};
use crate::signals::Signals;

/// Examples of `simulate`.
pub const EXAMPLES: &str = "\
Examples:
  fleetline simulate --requests 500/min --tokens 200k/min --latency lognormal:300ms,0.5
  fleetline simulate --requests 100/10s --limiter token-bucket --fault '60s..120s outage 503'
  OPENAI_BASE_URL=http://127.0.0.1:4010/v1 fleetline run samples/service.log --analyser openai
  curl 'http://127.0.0.1:4010/ledger?summary'
  curl http://127.0.0.1:4010/faults -d '0s..5s storm retry-after=5s'

Faults, in --fault, one a line in --script FILE, and in POST /faults (times from then on):
  FROM..UNTIL outage [reset|refuse|STATUS]   reset: heard and cut off; refuse: nobody listens
  FROM..UNTIL storm [retry-after=5s]         429 to everybody
  FROM..UNTIL error [STATUS]                 500 if no status is given
  FROM..UNTIL hang | reset | malformed | truncated | slow [pause=20ms]
With p=0.1 at the end, one call of ten is hit. Without UNTIL it never ends.

The first line of the output is the address. docs/simulator.md has the rest.";

/// Options of `simulate`.
#[derive(Clone, Debug, Args)]
pub struct SimulateArgs {
    /// Where calls are served; port 0 takes a free one
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:4010")]
    pub listen: SocketAddr,
    /// A second place for the ledger and the faults, which no outage touches
    #[arg(long, value_name = "ADDRESS")]
    pub control: Option<SocketAddr>,
    /// Calls, as a rate: 500/min, 100/10s
    #[arg(long, value_name = "RATE")]
    pub requests: Option<Rate>,
    /// Tokens of requests and answers together, as a rate: 200k/min
    #[arg(long, value_name = "RATE")]
    pub tokens: Option<Rate>,
    /// Calls at the same time
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub concurrency: Option<u32>,
    /// How the rates are enforced
    #[arg(long, value_enum, default_value = "sliding-window")]
    pub limiter: Limiter,
    /// What the bucket holds: what refills in this time [default: the whole window]
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    pub burst: Option<Duration>,
    /// Whose headers tell of the limits
    #[arg(long, value_enum, default_value = "openai")]
    pub headers: Headers,
    /// Before each answer: 300ms, uniform:100ms..500ms, lognormal:300ms,0.5 (median, sigma)
    #[arg(long, value_name = "DISTRIBUTION", default_value = "0")]
    pub latency: Distribution<Duration>,
    /// Tokens that answers are said to have: 200, uniform:100..500, lognormal:200,0.5
    /// [default: those of their texts]
    #[arg(long, value_name = "DISTRIBUTION")]
    pub output_tokens: Option<Distribution<u32>>,
    /// The same seed draws the same for the same number of call
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub seed: u64,
    /// Something that goes wrong: '60s..120s outage'; may be given again
    #[arg(long, value_name = "FAULT")]
    pub fault: Vec<Fault>,
    /// A file of such, one a line
    #[arg(long, value_name = "FILE")]
    pub script: Option<PathBuf>,
    /// Calls that the ledger keeps, about 250 bytes each; older ones are left out
    #[arg(long, value_name = "N", default_value_t = 500_000, value_parser = at_least_one)]
    pub ledger_limit: usize,
}

fn at_least_one(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|number| *number > 0).ok_or_else(|| "write a whole number from 1".to_owned())
}

/// How rates are enforced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Limiter {
    /// No window, wherever it begins, has more than the amount
    SlidingWindow,
    /// A bucket that refills evenly and begins full
    TokenBucket,
}

/// Whose headers tell of the limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Headers {
    /// x-ratelimit-{limit,remaining,reset}-{requests,tokens}, retry-after-ms
    Openai,
    /// The same without resets, with values of -1, 0 and 86400 in a quarter of the answers
    Azure,
    /// X-RateLimit-{Limit,Remaining,Reset,NearLimit}, RateLimit-Reason
    Jira,
    /// X-RateLimit-{Limit,Period,Remaining,Reset,Name}
    Datadog,
    /// Retry-After alone
    Plain,
}

/// Serves until it is told to stop.
pub async fn simulate(args: SimulateArgs) -> Result<(), CliError> {
    let mut signals = Signals::new()?;
    let failed = |error: std::io::Error| CliError::Failure(format!("{error}; give another --listen"));
    let simulator = Simulator::bind(options(args)?).await.map_err(failed)?;
    write_text(&format!("http://{}\n", simulator.address().map_err(failed)?))?;
    if let Some(control) = simulator.control_address().map_err(failed)? {
        write_text(&format!("http://{control}\n"))?;
    }
    tell("answering; Ctrl-C ends it, and its ledger with it");
    tokio::select! {
        served = simulator.serve() => {
            served.map_err(|error| CliError::Failure(format!("the simulator stopped: {error}")))
        }
        () = signals.asked_to_stop() => Ok(()),
    }
}

fn options(args: SimulateArgs) -> Result<Options, CliError> {
    let shape = match (args.limiter, args.burst) {
        (Limiter::SlidingWindow, None) => Shape::SlidingWindow,
        (Limiter::TokenBucket, burst) => Shape::TokenBucket { burst },
        (Limiter::SlidingWindow, Some(_)) => {
            return Err(CliError::Usage("--burst is for --limiter token-bucket".to_owned()));
        }
    };
    let mut faults = args.fault;
    if let Some(path) = &args.script {
        let wrong =
            |error: &dyn std::fmt::Display| CliError::Usage(format!("--script {}: {error}", path.display()));
        let script = std::fs::read_to_string(path).map_err(|error| wrong(&error))?;
        faults.extend(parse_script(&script).map_err(|error| wrong(&error))?);
    }
    Ok(Options {
        control: args.control,
        limits: Limits { requests: args.requests, tokens: args.tokens, concurrency: args.concurrency, shape },
        headers: match args.headers {
            Headers::Openai => HeaderStyle::OpenAi,
            Headers::Azure => HeaderStyle::Azure,
            Headers::Jira => HeaderStyle::Jira,
            Headers::Datadog => HeaderStyle::Datadog,
            Headers::Plain => HeaderStyle::Plain,
        },
        latency: args.latency,
        output_tokens: args.output_tokens,
        seed: args.seed,
        faults,
        ledger_limit: args.ledger_limit,
        ..Options::new(args.listen)
    })
}
