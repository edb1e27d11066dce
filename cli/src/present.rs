//! Rows for programs, and text for people, on their way out.

use std::io::{self, Write};

use fleetline_producer::rows::result_row;
use fleetline_shared::domain::{Registry, RunId};
use fleetline_shared::ports::{JobFilter, QueryLedger};
use serde::Serialize;

use crate::exit::CliError;
use crate::lookup::each_job;
use crate::ui::progress::aside;

/// Writes a run's rows as JSON lines, in the order of their submission. Returns how many.
pub async fn write_results(
    ledger: &dyn QueryLedger,
    registry: &Registry,
    run: RunId,
    out: &mut (impl Write + Send),
) -> Result<u64, CliError> {
    let filter = JobFilter { run: Some(run), with_results: true, ..JobFilter::default() };
    let mut rows = 0;
    each_job(ledger, filter, |job| {
        rows += 1;
        write_line(out, &result_row(registry, job))
    })
    .await?;
    out.flush().map_err(|error| closed(&error))?;
    Ok(rows)
}

/// Writes one JSON line.
pub fn write_line(out: &mut impl Write, row: &impl Serialize) -> Result<(), CliError> {
    let line = serde_json::to_string(row).map_err(|error| CliError::Failure(error.to_string()))?;
    writeln!(out, "{line}").map_err(|error| closed(&error))
}

/// Prints text to standard output. Unlike `println!` it does not panic when nobody reads it.
pub fn write_text(text: &str) -> Result<(), CliError> {
    let mut out = io::stdout();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(|error| closed(&error))
}

/// Prints a line to standard error. Unlike `eprintln!` it does not panic when nobody reads it.
pub fn tell(text: &str) {
    // There is nowhere left to report the failure to.
    let _ = aside(|| writeln!(io::stderr(), "{text}"));
}

/// What a failed write means.
pub fn closed(error: &io::Error) -> CliError {
    match error.kind() {
        io::ErrorKind::BrokenPipe => CliError::Closed,
        _ => CliError::Failure(format!("the output could not be written: {error}")),
    }
}
