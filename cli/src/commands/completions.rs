//! `fleetline completions`: scripts for shells.

use std::io;

use clap::CommandFactory;
use clap_complete::{Shell, generate};

use crate::args::Cli;

/// Prints the script.
pub fn completions(shell: Shell) {
    generate(shell, &mut Cli::command(), "fleetline", &mut io::stdout());
}
