//! `fleetline completions`: scripts for shells.

use clap::CommandFactory;
use clap_complete::{Shell, generate};

use crate::args::Cli;
use crate::exit::CliError;
use crate::present::write_text;

/// Prints the script.
pub fn completions(shell: Shell) -> Result<(), CliError> {
    let mut script = Vec::new();
    generate(shell, &mut Cli::command(), "fleetline", &mut script);
    write_text(&String::from_utf8_lossy(&script))
}
