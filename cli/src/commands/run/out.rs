//! The file of `--out`: complete or not there.

use std::io::BufWriter;
use std::path::{Path, PathBuf};

use fleetline_shared::domain::{Registry, RunId};
use fleetline_shared::ports::QueryLedger;
use tempfile::NamedTempFile;

use crate::exit::CliError;
use crate::present::write_results;

/// A file that appears under its name when it is complete. Tried before anything is paid for, so
/// that a wrong path costs nothing.
pub struct OutFile {
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
        temporary(path).map_err(|error| cannot(&error))?;
        Ok(Self { path: path.to_owned() })
    }

    /// Writes a run's rows; returns the file's name. On an error the results are still in the
    /// database, and the message says how to get them.
    pub async fn write(
        self,
        ledger: &dyn QueryLedger,
        registry: &Registry,
        run: RunId,
    ) -> Result<String, CliError> {
        let path = self.path;
        let cannot = |error: &dyn std::fmt::Display| {
            CliError::Failure(format!(
                "--out {}: {error}; the results are in the database: `fleetline results {run}` prints them",
                path.display()
            ))
        };
        let mut writer = BufWriter::new(temporary(&path).map_err(|error| cannot(&error))?);
        write_results(ledger, registry, run, &mut writer).await.map_err(|error| cannot(&error))?;
        let file = writer.into_inner().map_err(|error| cannot(&error))?;
        set_usual_permissions(file.path()).map_err(|error| cannot(&error))?;
        file.persist(&path).map_err(|error| cannot(&error.error))?;
        Ok(path.display().to_string())
    }
}

/// A file beside the one that is wanted.
fn temporary(path: &Path) -> Result<NamedTempFile, String> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    NamedTempFile::new_in(folder).map_err(|error| {
        // The error's own text names the temporary file, which nobody knows.
        let cause = error.get_ref().and_then(|inner| inner.source()).map(ToString::to_string);
        let cause = cause.unwrap_or_else(|| error.to_string());
        format!("the folder {} cannot be written to: {cause}", folder.display())
    })
}

/// Temporary files are for their owner alone; a result file is like any other file.
fn set_usual_permissions(path: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o644))
}
