//! Exit codes, and errors with what to do.

use std::process::ExitCode;

use fleetline_shared::domain::PortError;
use fleetline_worker::WorkerError;
use thiserror::Error;

/// All jobs succeeded.
pub const OK: u8 = 0;
/// Bad input, or a file or server failed.
pub const FAILURE: u8 = 1;
/// Wrong arguments or configuration.
pub const USAGE: u8 = 2;
/// Finished, but some jobs are dead or were cancelled.
pub const NOT_ALL: u8 = 3;
/// An upstream is down, and nothing is left to do without it.
pub const GAVE_UP: u8 = 4;
/// Interrupted; what is said then tells how to go on.
pub const INTERRUPTED: u8 = 130;

/// Why a command failed.
#[derive(Debug, Error)]
pub enum CliError {
    /// Bad input, or a file failed. Says what and where.
    #[error("{0}")]
    Failure(String),
    /// Wrong arguments or configuration.
    #[error("{0}")]
    Usage(String),
    /// Nobody reads the output any more: `fleetline results | head`.
    #[error("the output is closed")]
    Closed,
    /// A part of the engine failed.
    #[error(transparent)]
    Port(#[from] PortError),
    /// The worker stopped by itself.
    #[error(transparent)]
    Worker(#[from] WorkerError),
}

impl CliError {
    /// The process's exit code for it.
    pub fn code(&self) -> ExitCode {
        ExitCode::from(match self {
            Self::Usage(_) => USAGE,
            Self::Closed => OK,
            Self::Failure(_) | Self::Port(_) | Self::Worker(_) => FAILURE,
        })
    }
}
