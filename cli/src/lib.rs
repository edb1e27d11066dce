//! The command line: `fleetline run | status | jobs | results | facts | fingerprint | dead | ...`.
//!
//! [`commands`] has a file per command, [`engine`] wires the parts together for one process,
//! [`wiring`] makes the parts from the [`config`]uration.

pub mod app;
pub mod args;
pub mod backend;
pub mod commands;
pub mod config;
pub mod engine;
pub mod exit;
pub mod fleet;
mod input;
mod logging;
pub mod lookup;
mod outage;
mod paths;
pub mod patient;
pub mod present;
mod server_url;
mod signals;
pub mod ui;
mod watched;
pub mod wiring;

use std::process::ExitCode;

use clap::Parser;
use clap::error::ErrorKind;

use app::App;
use args::{Cli, Command, ConfigAction, RunArgs};
use config::{Config, ConfigSources, Override};
use exit::CliError;

/// The system's allocator takes half as much time again for the many small things of a job.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Runs the command line of this process.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let asked_for = matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion);
            let _ = error.print();
            return ExitCode::from(if asked_for { exit::OK } else { exit::USAGE });
        }
    };
    // One TLS provider for the whole process.
    let _ = rustls::crypto::ring::default_provider().install_default();
    match logging::start(&cli.global).and_then(|()| run(cli)) {
        Ok(code) => ExitCode::from(code),
        Err(CliError::Closed) => ExitCode::from(exit::OK),
        Err(error) => {
            present::tell(&format!("error: {error}"));
            error.code()
        }
    }
}

fn run(cli: Cli) -> Result<u8, CliError> {
    if let Command::Completions { shell } = cli.command {
        commands::completions(shell)?;
        return Ok(exit::OK);
    }
    if let Command::Config(args) = &cli.command
        && let ConfigAction::Print { default: true } = args.action
    {
        present::write_text(config::DEFAULT_FILE)?;
        return Ok(exit::OK);
    }
    // It needs no settings, so wrong ones don't stop it.
    if let Command::Simulate(args) = cli.command {
        runtime()?.block_on(commands::simulate(*args))?;
        return Ok(exit::OK);
    }
    if cli.global.db.is_some() && is_of_the_fleet(&cli.command) {
        let why =
            "--db names a local database, and this command works with the fleet's servers only: leave it out";
        return Err(CliError::Usage(why.into()));
    }
    let sources = ConfigSources::of_process(cli.global.config.clone(), overrides(&cli));
    let loaded = Config::load(&sources).map_err(|problems| CliError::Usage(problems.to_string()))?;
    let app = App::new(cli.global, loaded)?;
    let runtime = runtime()?;
    let ended = runtime.block_on(commands::execute(&app, cli.command));
    // A splitter that reads a pipe nobody writes to must not keep the process alive.
    runtime.shutdown_background();
    ended
}

fn runtime() -> Result<tokio::runtime::Runtime, CliError> {
    tokio::runtime::Runtime::new()
        .map_err(|error| CliError::Failure(format!("the runtime cannot be started: {error}")))
}

/// Flags that stand for settings.
fn overrides(cli: &Cli) -> Vec<Override> {
    let mut overrides = Vec::new();
    let mut set = |flag, key, value: Option<String>| {
        overrides.extend(value.map(|value| Override { flag, key, value }));
    };
    set("--db", "run.db", cli.global.db.as_ref().map(|db| db.display().to_string()));
    set("--db", "run.fleet", cli.global.db.is_some().then(|| "false".into()));
    set("--fleet", "run.fleet", (cli.global.fleet || is_of_the_fleet(&cli.command)).then(|| "true".into()));
    let analyser = |analyser: Option<args::Analyser>| analyser.map(|analyser| analyser.as_str().into());
    let path = |path: &Option<std::path::PathBuf>| path.as_ref().map(|path| path.display().to_string());
    match &cli.command {
        Command::Run(args) => {
            set("--analyser", "run.analyser", analyser(args.analyser));
            set("--concurrency", "worker.concurrency", concurrency(args));
            set("--nodes", "discovery.nodes", path(&args.nodes));
        }
        Command::Submit(args) => {
            set("--analyser", "run.analyser", analyser(args.input.analyser));
            set("--nodes", "discovery.nodes", path(&args.input.nodes));
        }
        Command::Work(args) => {
            set("--concurrency", "worker.concurrency", args.concurrency.map(|n| n.to_string()));
        }
        Command::Serve(args) => {
            set("--listen", "serve.listen", args.listen.clone());
            set("--open", "serve.open", args.open.then(|| "true".into()));
        }
        _ => {}
    }
    overrides
}

/// Commands that make sense with the fleet's servers only.
fn is_of_the_fleet(command: &Command) -> bool {
    matches!(
        command,
        Command::Submit(_)
            | Command::Watch(_)
            | Command::Serve(_)
            | Command::Work(_)
            | Command::Migrate
            | Command::Topology { .. }
            | Command::Doctor
            | Command::Keys { .. }
    )
}

fn concurrency(args: &RunArgs) -> Option<String> {
    if args.sequential { Some("1".into()) } else { args.concurrency.map(|n| n.to_string()) }
}
