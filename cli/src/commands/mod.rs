//! The commands, a file each.

mod cancel;
mod completions;
mod config;
mod dead;
mod doctor;
mod explain;
mod facts;
mod fingerprint;
mod jobs;
mod keys;
mod migrate;
mod results;
pub mod run;
mod serve;
pub mod simulate;
mod status;
mod submit;
mod topology;
mod upstreams;
mod watch;
mod work;

use crate::app::App;
use crate::args::Command;
use crate::exit::{CliError, OK};

pub use completions::completions;
pub use simulate::simulate;

/// Does what the command line asks for; returns the exit code.
pub async fn execute(app: &App, command: Command) -> Result<u8, CliError> {
    match command {
        Command::Run(args) => return run::run(app, args).await,
        Command::Dead(args) => return dead::dead(app, args).await,
        Command::Submit(args) => return submit::submit(app, args).await,
        Command::Watch(args) => return watch::watch(app, args).await,
        Command::Serve(args) => serve::serve(app, args).await?,
        Command::Work(args) => work::work(app, args).await?,
        Command::Doctor => return doctor::doctor(app).await,
        Command::Topology { action } => return topology::topology(app, action).await,
        Command::Cancel(args) => cancel::cancel(app, args).await?,
        Command::Upstreams(args) => upstreams::upstreams(app, args).await?,
        Command::Explain(args) => explain::explain(app, args).await?,
        Command::Migrate => migrate::migrate(app).await?,
        Command::Keys { action } => keys::keys(app, action).await?,
        Command::Status(args) => status::status(app, args).await?,
        Command::Jobs(args) => jobs::jobs(app, args).await?,
        Command::Results(args) => results::results(app, args).await?,
        Command::Facts(args) => facts::facts(app, args).await?,
        Command::Fingerprint(args) => fingerprint::fingerprint(app, &args)?,
        Command::Config(args) => config::config(app, &args)?,
        Command::Completions { shell } => completions(shell)?,
        Command::Simulate(args) => simulate(*args).await?,
    }
    Ok(OK)
}
