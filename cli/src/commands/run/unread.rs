//! Inputs that were not read to their end.

use std::path::Path;

use fleetline_shared::ports::{RunRow, Seal};
use serde_json::json;

use crate::app::{App, quoted};
use crate::exit::CliError;
use crate::input::named;

/// Where a run's notes say why its input was not read to its end, as the report of a splitter does.
const ERROR: &str = "error";

/// What ends an open run whose input is not at hand: what was accepted is all there will be. A file is
/// at hand, so its run is left to the command that reads it.
pub(super) fn seal(app: &App, run: &RunRow) -> Result<Seal, CliError> {
    // In a fleet somebody else may have read it, from another folder.
    if !app.fleet() && Path::new(&run.input).is_file() {
        return Err(CliError::Usage(format!(
            "run {} has not read its input to its end, and --resume does not read it: repeat the command that began \
             it, as in `fleetline run {}{}`; it goes on with the same run, and pays for nothing twice",
            run.id,
            quoted(Path::new(&run.input)),
            app.flags()
        )));
    }
    // The final counts are known at the end of a log only.
    let counts = if run.pipeline == "logs" { "; each message counts as one event" } else { "" };
    let notes = json!({ ERROR: format!("input not read to its end{counts}") });
    Ok(Seal { occurrences: Vec::new(), notes })
}

/// Why the input of a run was not read to its end, if what came before it was analysed.
pub(super) fn problem(run: &RunRow) -> Option<String> {
    let error = run.notes[ERROR].as_str()?;
    Some(format!("{}: {error}", named(&run.input)))
}
