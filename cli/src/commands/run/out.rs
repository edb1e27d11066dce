//! The file of `--out`: complete or not there.

use std::error::Error;
use std::fmt::Display;
use std::fs::{OpenOptions, Permissions};
use std::io::{BufWriter, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use fleetline_shared::domain::RunId;
use fleetline_shared::ports::QueryLedger;
use tempfile::NamedTempFile;

use crate::app::App;
use crate::exit::CliError;
use crate::paths::{lead_to_one_file, resolved};
use crate::present::write_results;

/// A file of the command, and what it is for people.
pub(super) type Taken = (&'static str, PathBuf);

/// A file that appears under its name when it is complete. Tried before anything is paid for, so
/// that a wrong path costs nothing. What is no file, a pipe or a device, is written to as it is.
pub struct OutFile {
    /// As it was given.
    name: String,
    /// What it leads to.
    path: PathBuf,
}

impl OutFile {
    /// Makes sure that the file can be written, and is none of those that the command needs. Nothing
    /// stays of the trial, so that a process that is ended hard leaves nothing behind.
    pub fn create(path: &Path, taken: &[Taken]) -> Result<Self, CliError> {
        let name = path.display().to_string();
        let cannot = |error: &str| CliError::Failure(format!("--out {name}: {error}"));
        if path.is_dir() {
            return Err(cannot("is a folder; give the name of a file"));
        }
        // Of a link the file that it leads to is written.
        let target = resolved(path).unwrap_or_else(|_| path.to_owned());
        if is_replaced(&target) {
            if let Some((what, _)) = taken.iter().find(|(_, taken)| lead_to_one_file(taken, &target)) {
                return Err(CliError::Usage(format!(
                    "--out {name}: this is {what}, which would be overwritten; give the name of another file"
                )));
            }
            temporary(&target).map_err(|error| cannot(&error))?;
        }
        Ok(Self { name, path: target })
    }

    /// Writes a run's rows; returns the file's name. On an error the results are still in the
    /// database, and the message says how to get them.
    pub async fn write(self, app: &App, ledger: &dyn QueryLedger, run: RunId) -> Result<String, CliError> {
        let written = if is_replaced(&self.path) {
            self.replace(app, ledger, run).await
        } else {
            self.pour(app, ledger, run).await
        };
        match written {
            Ok(()) => Ok(self.name),
            Err(error) => Err(CliError::Failure(format!(
                "--out {}: {error}; the results are in the database: `{}` prints them",
                self.name,
                results_command(app, run)
            ))),
        }
    }

    /// What to tell of a run that has not ended: its rows must not take the place of complete ones.
    pub fn left_alone(&self, app: &App, run: RunId) -> String {
        format!(
            "--out {}: not written, since the run has not ended; `{}` prints what there is",
            self.name,
            results_command(app, run)
        )
    }

    async fn replace(&self, app: &App, ledger: &dyn QueryLedger, run: RunId) -> Result<(), Box<dyn Error>> {
        let file = fill(temporary(&self.path)?, app, ledger, run).await?;
        if let Ok(before) = self.path.metadata() {
            std::fs::set_permissions(file.path(), before.permissions())?;
        }
        file.persist(&self.path)?;
        Ok(())
    }

    async fn pour(&self, app: &App, ledger: &dyn QueryLedger, run: RunId) -> Result<(), Box<dyn Error>> {
        let there = OpenOptions::new().write(true).open(&self.path)?;
        fill(there, app, ledger, run).await?;
        Ok(())
    }
}

/// Writes the rows; returns what they were written to.
async fn fill<W: Write + Send>(
    to: W,
    app: &App,
    ledger: &dyn QueryLedger,
    run: RunId,
) -> Result<W, Box<dyn Error>> {
    let mut writer = BufWriter::new(to);
    write_results(ledger, app.registry(), run, &mut writer).await?;
    writer.into_inner().map_err(|error| error.into_error().into())
}

fn results_command(app: &App, run: RunId) -> impl Display {
    format!("fleetline results {run}{}", app.flags())
}

/// Whether a file takes the place of what is there: only of a file, or of nothing.
fn is_replaced(path: &Path) -> bool {
    path.metadata().map_or(true, |meta| meta.is_file())
}

/// A file beside the one that is wanted.
fn temporary(path: &Path) -> Result<NamedTempFile, String> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    // As any new file; the user's mask is applied to it.
    let usual = Permissions::from_mode(0o666);
    tempfile::Builder::new().permissions(usual).tempfile_in(folder).map_err(|error| {
        // The error's own text names the temporary file, which nobody knows.
        format!("the folder {} cannot be written to: {}", folder.display(), error.kind())
    })
}
