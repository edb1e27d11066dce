//! The file of `--out`: complete or not there.

use std::fs::{OpenOptions, Permissions};
use std::io::{BufWriter, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use fleetline_shared::domain::RunId;
use fleetline_shared::ports::QueryLedger;
use tempfile::NamedTempFile;

use crate::app::App;
use crate::exit::CliError;
use crate::present::write_results;

/// A file that appears under its name when it is complete. Tried before anything is paid for, so
/// that a wrong path costs nothing. What is no file, a pipe or a device, is written to as it is.
pub struct OutFile {
    /// As it was given.
    name: String,
    /// What it leads to.
    path: PathBuf,
}

impl OutFile {
    /// Makes sure that the file can be written. Nothing stays of the trial, so that a process that
    /// is ended hard leaves nothing behind.
    pub fn create(path: &Path) -> Result<Self, CliError> {
        let cannot =
            |error: &dyn std::fmt::Display| CliError::Failure(format!("--out {}: {error}", path.display()));
        if path.is_dir() {
            return Err(cannot(&"is a folder; give the name of a file"));
        }
        // Of a link the file that it leads to is written.
        let target = path.canonicalize().unwrap_or_else(|_| path.to_owned());
        if is_replaced(&target) {
            temporary(&target).map_err(|error| cannot(&error))?;
        }
        Ok(Self { name: path.display().to_string(), path: target })
    }

    /// Writes a run's rows; returns the file's name. On an error the results are still in the
    /// database, and the message says how to get them.
    pub async fn write(self, app: &App, ledger: &dyn QueryLedger, run: RunId) -> Result<String, CliError> {
        let Self { name, path } = self;
        let (registry, flags) = (app.registry(), app.flags());
        let cannot = |error: &dyn std::fmt::Display| {
            CliError::Failure(format!(
                "--out {name}: {error}; the results are in the database: `fleetline results {run}{flags}` prints them"
            ))
        };
        if !is_replaced(&path) {
            let file = OpenOptions::new().write(true).open(&path).map_err(|error| cannot(&error))?;
            let mut writer = BufWriter::new(file);
            write_results(ledger, registry, run, &mut writer).await.map_err(|error| cannot(&error))?;
            writer.flush().map_err(|error| cannot(&error))?;
            return Ok(name);
        }
        let mut writer = BufWriter::new(temporary(&path).map_err(|error| cannot(&error))?);
        write_results(ledger, registry, run, &mut writer).await.map_err(|error| cannot(&error))?;
        let file = writer.into_inner().map_err(|error| cannot(&error))?;
        if let Ok(before) = path.metadata() {
            std::fs::set_permissions(file.path(), before.permissions()).map_err(|error| cannot(&error))?;
        }
        file.persist(&path).map_err(|error| cannot(&error.error))?;
        Ok(name)
    }
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
        let cause = error.get_ref().and_then(|inner| inner.source()).map(ToString::to_string);
        let cause = cause.unwrap_or_else(|| error.to_string());
        format!("the folder {} cannot be written to: {cause}", folder.display())
    })
}
